"""A plan, a TOML file of recipes to compare -> the rows of a sweep. docs/cluster.md describes the file."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glossfree.errors import RecipeError, did_you_mean
from glossfree.sweeps.cells import Row

# key -> its type, and the type of the values in it
KEYS: dict[str, tuple[type, type | tuple[type, ...]]] = {
    "name": (str, str),
    "learning_rate_factors": (list, (int, float)),
    "learning_rate_seed": (int, int),
    "seeds": (list, int),
    "axes": (dict, str),
    "rows": (list, dict),
}
ROW_KEYS: dict[str, tuple[type, type | tuple[type, ...]]] = {
    "name": (str, str),
    "group": (str, str),
    "groups": (list, str),
    "recipe": (str, str),
    "set": (list, str),
    "seeds": (list, int),
    "learning_rate_of": (str, str),
    "reference": (bool, bool),
}


@dataclass(frozen=True)
class Plan:
    """The rows of a sweep. `axes`: {group: key of a recipe} for groups whose rows are points along that key."""

    name: str
    rows: tuple[Row, ...]
    axes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, overrides: Sequence[str] = ()) -> Plan:
        """Read a plan; `overrides` apply to every row, after its own. Raises RecipeError with all problems."""
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RecipeError(f"cannot be read ({error.strerror})", where=path, remedy="name a plan") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RecipeError(f"not TOML ({error})", where=path, remedy="correct that line") from error
        problems = _problems(content)
        if problems:
            raise RecipeError("; ".join(problems), where=path, remedy="docs/cluster.md describes plans")
        if any(text.partition("=")[0].strip() == "seed" for text in overrides):
            raise RecipeError("a plan has its own seeds", where="--set seed", remedy=f"change seeds in {path}")
        seeds, factors = content.get("seeds", [0]), content.get("learning_rate_factors", [1.0])
        rows = []
        for table in content["rows"]:
            beside, follows = path.parent / table["recipe"], table.get("learning_rate_of", "")
            rows.append(
                Row(
                    point={"row": table["name"]},
                    source=str(beside) if beside.is_file() else table["recipe"],
                    changes=(*table.get("set", ()), *overrides),
                    seeds=tuple(table.get("seeds", seeds)),
                    factors=() if follows else tuple(map(float, factors)),
                    follows=follows,
                    groups=(*([table["group"]] if "group" in table else []), *table.get("groups", [])),
                    is_reference=table.get("reference", False),
                    choosing_seed=content.get("learning_rate_seed"),
                )
            )
        return cls(content.get("name", path.stem), tuple(rows), content.get("axes", {}))

    @property
    def chooses_apart(self) -> bool:
        """Whether no cell that counts chooses a learning rate, so that test may be scored before all are trained."""
        return all(row.choosing_seed is not None and row.choosing_seed not in row.seeds for row in self.rows)

    def check_selection(self, only: Sequence[str]) -> None:
        """Raise RecipeError for a name that is neither a row nor a group."""
        known = {name for row in self.rows for name in (row.name, *row.groups)}
        for name in only:
            if name not in known:
                problem = f"neither a row nor a group of the plan{did_you_mean(name, known)}"
                raise RecipeError(problem, where=f"--only {name}", remedy=f"one of {', '.join(sorted(known))}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without paths."""
        rows = [
            {
                "name": row.name,
                "groups": list(row.groups),
                "recipe": Path(row.source).stem,
                "set": list(row.changes),
                "seeds": list(row.seeds),
                "learning_rate_factors": list(row.factors),
                "learning_rate_of": row.follows,
                "reference": row.is_reference,
                "learning_rate_seed": row.choosing_seed,
            }
            for row in self.rows
        ]
        return {"name": self.name, "axes": self.axes, "rows": rows}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Plan:
        """Inverse of `to_dict`."""
        rows = [
            Row(
                point={"row": row["name"]},
                source=row["recipe"],
                changes=tuple(row["set"]),
                seeds=tuple(row["seeds"]),
                factors=tuple(row["learning_rate_factors"]),
                follows=row["learning_rate_of"],
                groups=tuple(row["groups"]),
                is_reference=row["reference"],
                choosing_seed=row.get("learning_rate_seed"),
            )
            for row in values["rows"]
        ]
        return cls(values["name"], tuple(rows), dict(values["axes"]))


def _problems(content: Mapping[str, Any]) -> list[str]:
    """What is wrong with the content of a plan."""
    problems = _type_problems(content, KEYS, "")
    if problems:
        return problems
    factors, tables = content.get("learning_rate_factors", [1.0]), content.get("rows", [])
    if not tables:
        problems.append("rows: none")
    if not factors or not all(0 < each < math.inf for each in factors) or len({*factors}) < len(factors):
        problems.append("learning_rate_factors: different finite numbers above 0 expected")
    names = [table.get("name") for table in tables]
    for number, table in enumerate(tables, start=1):
        where = f"row {table.get('name', number)!r}: "
        own = _type_problems(table, ROW_KEYS, where)
        own += [f"{where}needs {key}" for key in ("name", "recipe") if key not in table]
        seeds = table.get("seeds", content.get("seeds", [0]))
        if not own and (not seeds or len({*seeds}) < len(seeds)):
            own.append(f"{where}needs seeds that differ")
        if not own and names.count(table["name"]) > 1:
            own.append(f"{where}the name of two rows")
        if not own and (follows := table.get("learning_rate_of")) is not None:
            choosing = [each.get("name") for each in tables if "learning_rate_of" not in each]
            if follows not in choosing:
                own.append(f"{where}learning_rate_of: {follows!r} is no row with a choice of its own")
        problems += own
    if not problems:
        groups = {group for table in tables for group in (table.get("group"), *table.get("groups", ()))}
        problems = [f"axes: no row is in the group {name!r}" for name in content.get("axes", {}) if name not in groups]
    return list(dict.fromkeys(problems))


def _type_problems(table: Mapping[str, Any], keys: Mapping[str, Any], where: str) -> list[str]:
    problems = []
    for key, value in table.items():
        if key not in keys:
            problems.append(f"{where}unknown key {key!r}{did_you_mean(key, keys)}")
            continue
        outer, inner = keys[key]
        values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        right = all(isinstance(each, inner) and (inner is bool or not isinstance(each, bool)) for each in values)
        if not isinstance(value, outer) or not right:
            problems.append(f"{where}{key}: has the wrong type")
    return problems
