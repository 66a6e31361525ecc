"""Puts the results of a study into the README: its table, its answers and its figure.

    python scripts/tables/study.py iwmn [--results outputs/studies/iwmn/results.json]

Between `<!-- study NAME -->` and `<!-- end NAME -->` everything is replaced; after `<!-- answers
NAME -->` the tables are left out. Results, tables and figure are kept in moe_lab/studies/results/.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import moe_lab  # noqa: F401  (first: it makes torchvision importable)
from moe_lab.sweeps.studies.figure import forest
from moe_lab.sweeps.studies.tables import answers, markdown

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
        print(f"{source} is not there: run python -m moe_lab study {arguments.name}")
        return 2
    result = json.loads(source.read_text())
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{arguments.name}.json").write_text(json.dumps(result, indent=1) + "\n")
    picture = KEPT / f"{arguments.name}.png"
    forest(result).savefig(picture, dpi=130)
    tables = f"{markdown(result)}\n"
    (KEPT / f"{arguments.name}.md").write_text(f"# {result['title']}\n\n{tables}")
    image = f"![{result['title']}]({picture.relative_to(ROOT)})"
    page = (KEPT / f"{arguments.name}.md").relative_to(ROOT)
    texts = {
        "study": f"{image}\n\n{tables}",
        "answers": f"{image}\n\n{answers(result)}\n\nAll rows: [{page}]({page}).\n",
    }
    readme = arguments.readme.read_text()
    end = f"<!-- end {arguments.name} -->"
    pattern = re.compile(
        f"<!-- (study|answers) {re.escape(arguments.name)} -->.*?{re.escape(end)}", re.DOTALL
    )
    if not pattern.search(readme):
        start = f"<!-- study {arguments.name} -->"
        print(f"{arguments.readme} has no place for it: {start} ... {end}")
        return 2
    replaced = pattern.sub(
        lambda place: f"<!-- {place[1]} {arguments.name} -->\n{texts[place[1]]}{end}", readme
    )
    arguments.readme.write_text(replaced)
    print(f"{arguments.readme}, {KEPT / arguments.name}.json, .md and .png written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
