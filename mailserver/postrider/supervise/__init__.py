"""The process group: one supervisor, one writer, N fronts. Nothing here touches mail."""
