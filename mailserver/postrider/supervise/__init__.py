"""The process group: one supervisor, one writer, N fronts, one background process. Nothing here touches mail."""
