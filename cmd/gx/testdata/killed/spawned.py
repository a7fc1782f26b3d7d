"""Says whether every spawned call that was acknowledged has its result."""

import gx

counted = 0
for line in open("acks"):
    if not line.endswith("\n"):
        break
    what, text, call = line.split()
    n = int(text)
    call = gx.FunctionCall.from_id(call)
    if what == "work":
        assert call.get(timeout=120) == n * n, line
    elif what == "many":
        assert list(call.iter()) == [k * k for k in range(n, n + 5)], line
    else:
        value = call.get(timeout=120)
        assert value[:2] == (n, 400_000) and len(value[2]) == 300_000, line
    counted += 1
print(counted, "spawned calls have their results")
