"""The page of `nmahw serve`: one file, no other resources."""
