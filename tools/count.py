"""Adds up the results in a folder (JUnit files of meson and pytest, text files with a line
"passed|failed|skipped NAME" a test) and prints the closing line. With CI set, a test skipped for any
other reason than missing outside data is a failure."""
import os
import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def junit(path):
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{path.stem}: {case.get('classname', '')} {case.get('name', '')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            yield "failed", name, ""
        elif skipped is not None:
            yield "skipped", name, (skipped.get("message") or "") + (skipped.text or "")
        else:
            yield "passed", name, ""


def results(folder):
    for path in sorted(folder.glob("*.xml")):
        yield from junit(path)
    for path in sorted(folder.glob("*.txt")):
        for line in path.read_text().splitlines():
            state, name = line.split(" ", 1)
            yield state, name, ""


def main():
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for state, name, reason in results(pathlib.Path(sys.argv[1])):
        excused = "CLOZE_TEST_DATA" in reason or "could not be fetched" in reason
        if state == "skipped" and os.environ.get("CI") and not excused:
            state, reason = "failed", f"skipped: {reason}"
        counts[state] += 1
        if state != "passed":
            print(f"{state}: {name} {reason}".rstrip())
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    sys.exit(1 if counts["failed"] or not counts["passed"] else 0)


main()
