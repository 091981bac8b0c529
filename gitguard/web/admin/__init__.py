"""Pages of the admins, behind a factor that was proved in the browser within the last five minutes."""
