"""Reading and writing files safely: tables, text of any encoding."""
