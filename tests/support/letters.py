"""Messages to send, and the fields of those that came."""

from email.message import EmailMessage


def letter(sender, recipient, subject="Hello", body="Good morning.\r\n"):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, recipient, subject
    message.set_content(body)
    return message


def fields(message, name):
    head = message.partition(b"\r\n\r\n")[0].replace(b"\r\n\t", b" ").replace(b"\r\n ", b" ")
    return [line for line in head.split(b"\r\n") if line.lower().startswith(name.lower().encode() + b":")]
