"""glossfree: sign-language video to sentences without glosses, by Hierarchical Feature Alignment."""

__version__ = "0.1.0"
