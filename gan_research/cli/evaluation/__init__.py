"""`gan evaluate`, in parts."""
