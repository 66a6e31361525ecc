"""Puts the results of a study into the README: its table, its answers and its figure.

    python scripts/tables/study.py iwmn [--results outputs/studies/iwmn/results.json]

Between `<!-- study NAME -->` and `<!-- end NAME -->` everything is replaced; results and figure are
kept in moe_lab/studies/results/.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import moe_lab  # noqa: F401  (first: it makes torchvision importable)
from moe_lab.studies.figure import forest
from moe_lab.studies.tables import markdown

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "moe_lab" / "studies" / "results"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    arguments = parser.parse_args()
    source = arguments.results or ROOT / "outputs" / "studies" / arguments.name / "results.json"
    if not source.is_file():
        print(f"{source} is not there: run python -m moe_lab.study {arguments.name}")
        return 2
    result = json.loads(source.read_text())
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{arguments.name}.json").write_text(json.dumps(result, indent=1) + "\n")
    picture = KEPT / f"{arguments.name}.png"
    forest(result).savefig(picture, dpi=130)
    text = f"![{result['title']}]({picture.relative_to(ROOT)})\n\n{markdown(result)}"
    readme = arguments.readme.read_text()
    start, end = f"<!-- study {arguments.name} -->", f"<!-- end {arguments.name} -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(readme):
        print(f"{arguments.readme} has no place for it: {start} ... {end}")
        return 2
    replaced = pattern.sub(lambda _: f"{start}\n{text}\n{end}", readme)
    arguments.readme.write_text(replaced)
    print(f"{arguments.readme}, {KEPT / arguments.name}.json and .png written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
