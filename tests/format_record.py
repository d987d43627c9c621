"""`record/columns` once more, from `docs/format.md` alone, a cell at a time."""

import datetime
import re
from decimal import Decimal
from typing import Any

from format_image import Refused, must

TEXT, NULL, BINS = 256, 257, 258
NEVER: Any = object()  # what no cell is
LONG = {"text": "text/bytes", "molecule": "molecule/smiles", "image": "image/dct", "series": "series/mulaw"}
DEFAULTS = {
    "absent": None, "missing": [], "edges": [], "by": "", "edges_by": {}, "decimal": ".", "thousands": "",
    "before": [""], "after": [""], "exponent": False, "levels": [], "forms": ["Y-m-d"], "separator": "|",
    "options": {}, "fields": [], "carried": False, "required": False,
}  # fmt: skip
TIME = r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d([.,]\d{1,9})?)?( ?(Z|UTC|[+-]([01]\d|2[0-3])(:?[0-5]\d)?))?)?"


class Layout:
    """The symbols of a config: `places` are (field, marker, offset of its codec), fields of rows after their field."""

    def __init__(self, config, codecs):
        self.codecs = codecs
        self.fields = [full(field) for field in config["fields"]]
        every = [one for field in self.fields for one in (field, *field["fields"])]
        bins = [len(edges) + 1 for one in every if one["kind"] == "number" for edges in all_edges(one)]
        self.first = BINS + max(bins, default=0)
        self.alphabet = self.first + len(every)
        self.marker, self.offset = {}, {}
        for number, one in enumerate(every):
            self.marker[id(one)] = self.first + number
            if one["kind"] in LONG and one["kind"] != "text":
                self.offset[id(one)] = self.alphabet
                self.alphabet += codecs[LONG[one["kind"]]][0](options(one))
        self.every = every


def full(field):
    field = DEFAULTS | field
    return field | {"fields": [full(one) for one in field["fields"]]}


def options(field):
    """Return the config of the codec of a field, with its defaults."""
    defaults = {
        "image": {"quality": 50, "coefficients": 8, "max_length": 2**28},
        "series": {"low": -1.0, "high": 1.0, "mu": 255.0, "levels": 256, "patch_size": 10, "max_length": 2**26},
    }
    return defaults.get(field["kind"], {}) | field["options"]


def all_edges(field):
    return [field["edges"], *field["edges_by"].values()]


# ---- cells


def number(cell, field):
    """Return the decimal value of a cell, or None if it is no number."""
    point, mark = re.escape(field["decimal"]), re.escape(field["thousands"])
    whole = rf"\d+|\d{{1,3}}({mark}\d{{3}})+" if mark else r"\d+"
    core = rf"[+-]?(({whole})({point}\d*)?|{point}\d+)" + (r"([eE][+-]?\d{1,3})?" if field["exponent"] else "")
    before, after = ("|".join(map(re.escape, field[name])) for name in ("before", "after"))
    found = re.fullmatch(rf"(?:{before})(?P<core>{core})(?:{after})", cell, re.ASCII)
    if not found:
        return None
    plain = found["core"].replace(field["thousands"], "") if mark else found["core"]
    return Decimal(plain.replace(field["decimal"], "."))


def day(cell, form):
    """Return the date at the start of a cell of a form and where it ends, or None."""
    pattern = "".join(
        {"Y": r"(?P<Y>\d{4})", "m": r"(?P<m>\d\d)", "d": r"(?P<d>\d\d)"}.get(c, re.escape(c)) for c in form
    )
    found = re.fullmatch(f"({pattern}){TIME}", cell, re.ASCII)
    if not found:
        return None
    parts = found.groupdict()
    try:
        at = datetime.date(int(parts["Y"]), int(parts.get("m") or 1), int(parts.get("d") or 1))
    except ValueError:
        return None
    return at, found.end(1)


def spell(text):
    return list(text.encode("utf-8", "surrogatepass"))


def patches_of(cell, field, layout, code, last, left_out):
    """Return the patches of a cell, and the day that it is, if it is one."""
    marker, kind = layout.marker[id(field)], field["kind"]
    if cell is left_out:
        return [], None
    if kind in ("image", "series") and cell is not None:
        own = layout.codecs[LONG[kind]][2](cell, options(field))
        return [[marker], *([layout.offset[id(field)] + s for s in patch] for patch in own)], None
    if cell is None:
        return [[marker, NULL]], None
    if cell == left_out:
        return [], None
    if kind == "text":
        return [[marker], *layout.codecs["text/bytes"][2](cell, {})], None
    if kind == "molecule":
        own = layout.codecs["molecule/smiles"][2](cell, {})
        return [[marker], *([layout.offset[id(field)] + s for s in patch] for patch in own)], None
    if kind == "list":
        return [part for item in cell.split(field["separator"]) for part in cut([marker, *spell(item)])], None
    if kind == "category":
        return cut([marker, *spell(cell)]), None
    if cell in ["", *field["missing"]]:
        return cut([marker, TEXT, *spell(cell)]), None
    if kind == "number":
        value = number(cell, field)
        must(value is not None and len(spell(cell)) <= 1000, "no number")
        edges = field["edges_by"].get(code, field["edges"])
        head = BINS + sum(Decimal(edge) <= value for edge in edges)
        return cut([marker, head, *([] if field["levels"] else spell(cell))]), None
    found = [(form, day(cell, form)) for form in field["forms"]]
    read = [(form, at) for form, at in found if at]
    must(read, "no date")
    form, (date, end) = read[0]
    if last is None or form != field["forms"][0] or "d" not in form:
        return cut([marker, *spell(cell)]), date
    return cut([marker, *spell(f"{(date - last).days:+d}{cell[end:]}")]), date


def cut(symbols):
    return [symbols[at : at + 256] for at in range(0, len(symbols), 256)]


def cut_record(record, config, codecs):
    """Return the patches of a record."""
    layout, state = Layout(config, codecs), {"day": None}
    found = []
    for cell, field in zip(record, layout.fields, strict=True):
        if field["kind"] == "rows":
            before = [left_out(one) for one in field["fields"]]
            if field["required"] and not cell:
                found.append((None, [[layout.marker[id(field)], NULL]]))
            for row in cell:
                left = [b if one["carried"] else left_out(one) for b, one in zip(before, field["fields"], strict=True)]
                found += joined(row, field["fields"], layout, state, left, [[layout.marker[id(field)]]])
                before = row
        else:
            at = layout.fields.index(field)
            code = record[at - 1] if at else None
            found.append(one_cell(cell, field, layout, state, code, left_out(field)))
    # a number with `by` continues the patch of the category before it
    return [patch for patches in chained(found, layout.fields) for patch in patches]


def left_out(field):
    """Return the cell that is written by leaving a field out, or NEVER."""
    return NEVER if field["required"] and field["absent"] is None else field["absent"]


def one_cell(cell, field, layout, state, code, left_out):
    patches, date = patches_of(cell, field, layout, code if field["by"] else None, state["day"], left_out)
    state["day"] = date or state["day"]
    return field, patches


def joined(row, fields, layout, state, left, start):
    cells = [("row", start)]
    for j, (cell, field) in enumerate(zip(row, fields, strict=True)):
        cells.append(one_cell(cell, field, layout, state, row[j - 1] if j else None, left[j]))
    return [(None, [patch for patches in chained(cells, fields) for patch in patches])]


def chained(cells, fields):
    """Yield the patches of each cell, the first of them joined to the last patch before it where that is the rule."""
    done: list[list[list[int]]] = []
    before = None
    for number_, (field, patches) in enumerate(cells):
        joins = isinstance(field, dict) and (field["by"] or (field is fields[0] and cells[0][0] == "row"))
        if joins and patches and before == number_ - 1 and len(done[-1][-1]) + len(patches[0]) <= 256:
            done[-1][-1] = done[-1][-1] + patches[0]
            patches = patches[1:]
            done.append(patches or [])
            if not patches:
                done.pop()
        elif patches:
            done.append([list(patch) for patch in patches])
        before = number_ if cells[number_][1] else before
    return done


# ---- back


def decode(symbols, config, codecs):
    """Return the record of symbols, or refuse them."""
    layout = Layout(config, codecs)
    symbols = list(symbols)
    last_marker = layout.first + len(layout.every)
    starts = [k for k, symbol in enumerate(symbols) if layout.first <= symbol < last_marker]
    must(not symbols or (starts and starts[0] == 0), "no marker first")
    record: list[Any] = [[] if field["kind"] == "rows" else field["absent"] for field in layout.fields]
    owner = {id(one): (k, j) for k, field in enumerate(layout.fields) for j, one in enumerate(field["fields"])}
    last: Any = None
    previous: Any = None
    images = []
    for start, stop in zip(starts, [*starts, len(symbols)][1:], strict=True):
        field, body = layout.every[symbols[start] - layout.first], symbols[start + 1 : stop]
        if field["kind"] == "rows":
            must(body in ([], [NULL]), "a row begins with something else")
            previous = field
            if body:
                continue
            rows = record[layout.fields.index(field)]
            rows.append(
                [rows[-1][j] if rows and one["carried"] else one["absent"] for j, one in enumerate(field["fields"])]
            )
            continue
        cell = cell_of(body, field, layout, last)
        if id(field) in owner:
            k, j = owner[id(field)]
            must(record[k], "no row has begun")
            place, at = record[k][-1], j
        else:
            place, at = record, layout.fields.index(field)
        if field["kind"] == "list" and previous is field:
            must(cell is not None and place[at] is not None, "null in a list")
            cell = place[at] + field["separator"] + cell
        place[at], previous = cell, field
        if field["kind"] == "image":
            images.append(field)
        if field["kind"] == "date" and cell is not None and cell not in ["", *field["missing"]]:
            found = [day(cell, form) for form in field["forms"]]
            last = next((one[0] for one in found if one), last)
    whole = tuple(tuple(map(tuple, cell)) if isinstance(cell, list) else cell for cell in record)
    if not images:
        again = [symbol for patch in cut_record(whole, config, codecs) for symbol in patch]
        must(again == symbols, "another spelling")
    return whole


def cell_of(body, field, layout, last):
    kind = field["kind"]
    if body[:1] == [NULL]:
        must(len(body) == 1, "something after null")
        return None
    if kind in ("molecule", "image", "series"):
        offset = layout.offset[id(field)]
        size = layout.codecs[LONG[kind]][0](options(field))
        must(all(offset <= symbol < offset + size for symbol in body), "another alphabet")
        return layout.codecs[LONG[kind]][1]([symbol - offset for symbol in body], options(field))
    if kind in ("number", "date") and body[:1] == [TEXT]:
        return text_of(body[1:])
    if kind == "number":
        must(body and body[0] >= BINS, "no bin")
        if not field["levels"]:
            return text_of(body[1:])
        must(len(body) == 1 and body[0] - BINS < len(field["levels"]), "no such level")
        return field["levels"][body[0] - BINS]
    text = text_of(body)
    if kind != "date" or text[:1] not in ("+", "-"):
        return text
    found: Any = re.match(r"[+-]\d{1,7}", text, re.ASCII)
    must(found and last is not None, "no difference")
    try:
        date = last + datetime.timedelta(int(found[0]))
    except OverflowError as error:
        raise Refused("no date") from error
    parts = {"Y": f"{date.year:04d}", "m": f"{date.month:02d}", "d": f"{date.day:02d}"}
    return "".join(parts.get(sign, sign) for sign in field["forms"][0]) + text[found.end() :]


def text_of(body):
    must(all(symbol < 256 for symbol in body), "no byte")
    try:
        return bytes(body).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise Refused("no UTF-8") from error
