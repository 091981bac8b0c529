"""Pages of the server's admins, behind a factor that was proved in the browser within the last five minutes."""
