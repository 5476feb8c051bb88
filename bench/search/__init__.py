"""Parts of the search benchmark."""
