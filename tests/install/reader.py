"""A consumer that looks at one published file all the time: reader.py FILE REPORT. Ends with SIGTERM and reports how
often it looked, how many sets of credentials it saw, and whatever was wrong: the file missing, torn, or expired."""

import datetime
import json
import signal
import sys
import time

file, report = sys.argv[1:]
going, looks, keys, wrong = True, 0, set(), set()


def end(*_):
    global going
    going = False


signal.signal(signal.SIGTERM, end)
while going:
    looks += 1
    try:
        with open(file) as opened:
            read = json.load(opened)
        keys.add((read["AccessKeyId"], read["SecretAccessKey"], read["SessionToken"]))
        expiration = datetime.datetime.fromisoformat(read["Expiration"].replace("Z", "+00:00"))
        if expiration < datetime.datetime.now(datetime.timezone.utc):
            wrong.add("expired")
    except Exception as error:
        wrong.add(f"{type(error).__name__}: {error}")
    time.sleep(0.002)
ids = {key[0] for key in keys}
if len(ids) != len(keys):
    wrong.add("the parts of two sets were mixed")
with open(report, "w") as out:
    json.dump({"looks": looks, "sets": len(ids), "wrong": sorted(wrong)}, out)
