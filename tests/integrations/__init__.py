"""vlmres inside other libraries."""
