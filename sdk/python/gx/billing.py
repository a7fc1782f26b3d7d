"""What apps have used, and what that would cost at list prices; also of apps that have ended."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    from typing import Any, Dict, List, Optional


def workspace_billing_report(
    *,
    start: datetime.datetime,
    end: Optional[datetime.datetime] = None,
    resolution: str = "d",
    tag_names: Optional[List[str]] = None,
    client: object = None,
) -> List[Dict[str, Any]]:
    """What each app has cost, by the day or the hour.

    ``start`` and ``end`` (default: now) are taken to full hours; a time without a zone is UTC. ``resolution`` is
    ``"d"`` for UTC days or ``"h"`` for hours. What runs counts as far as it has come. ``tag_names`` is for
    compatibility: tags are not kept with costs, so ``tags`` is empty.

    Returns a dictionary for each app and interval: ``object_id`` (the app's id), ``description`` (its name, which may be empty),
    ``environment_name``, ``interval_start`` (a datetime in UTC), ``cost`` (a Decimal, US dollars) and ``tags``.
    Raises InvalidError for times and resolutions that make no sense.
    """
    import datetime
    import decimal

    from gx._ask import ask

    if resolution not in ("d", "h"):
        raise _invalid(f'resolution={resolution!r}: it is "d" for days or "h" for hours')

    params: Dict[str, Any] = {"step": resolution, "by": ["app"]}
    for name, moment in (("start", start), ("end", end)):
        if moment is None:
            continue
        if not isinstance(moment, datetime.datetime):
            raise _invalid(f"{name}= is a datetime, and not a {type(moment).__name__}")
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.timezone.utc)
        params[name] = moment.timestamp()
    result, _ = ask("billing.report", **params)
    return [
        {
            "object_id": row["app"],
            "description": row.get("app_name", ""),
            "environment_name": row["environment"],
            "interval_start": datetime.datetime.fromisoformat(row["start"].replace("Z", "+00:00")),
            "cost": decimal.Decimal(repr(row["cost"])),
            "tags": {},
        }
        for row in result["rows"]
    ]


def _invalid(message: str) -> Exception:
    from gx.exception import InvalidError

    return InvalidError(message)
