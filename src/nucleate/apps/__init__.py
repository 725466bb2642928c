"""The doors: they parse, call and show; no algorithm lives here."""
