"""The command `graftwork`: options in, text out. What a command does lives in the rooms below."""
