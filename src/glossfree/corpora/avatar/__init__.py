"""The built-in corpora of a drawn signer."""
