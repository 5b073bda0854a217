"""One rule a module; `builder.lint.table` lists them."""
