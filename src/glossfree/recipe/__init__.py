"""What a run is: every value with its standing; recipe files, inheritance, overrides."""
