"""The web tier's one task, as a message that only lacks the delivery's id.

Celery itself writes the message, once, to a broker in memory, and in a process of its own: it is a quarter of
what the web tier would take of memory otherwise. The script that writes a delivery into the ledger then puts
the id in and the message on the queue, in the same step: a delivery is never in the ledger without its task,
and an answer costs one round trip instead of four.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache

from mooring.names import INTAKE, TASK_DELIVER
from mooring.store.ledger import ID_PLACE


@cache
def task_message() -> str:
    """The message of TASK_DELIVER, as kombu's Redis transport puts it on a queue.

    `ID_PLACE` stands where the delivery's id belongs: in the argument, the task's id and the tag by which
    a worker acknowledges it.
    """
    argv = [sys.executable, "-P", "-m", __name__]
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def _written() -> str:
    import celery
    from kombu.utils.json import dumps

    app = celery.Celery("mooring-web", broker="memory://", set_as_current=False)
    app.conf.update(
        task_serializer="json",
        # Plain text, or the place for the id would be hidden in base64.
        broker_transport_options={"body_encoding": "utf-8"},
    )
    with app.connection_for_write() as connection:
        app.send_task(
            TASK_DELIVER,
            args=[ID_PLACE],
            task_id=ID_PLACE,
            argsrepr=f"['{ID_PLACE}']",
            queue=INTAKE,
            ignore_result=True,
            connection=connection,
        )
        message = connection.default_channel._get(INTAKE)
    message["properties"]["delivery_tag"] = ID_PLACE
    text: str = dumps(message)  # type: ignore[no-untyped-call]
    return text


if __name__ == "__main__":
    sys.stdout.write(_written())
