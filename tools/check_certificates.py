"""Prove the verdicts of a results folder as docs/certificates.md specifies; the last line says "proved N of M"."""

import json
import math
import sys
from contextlib import suppress
from fractions import Fraction
from functools import reduce
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
from flint import fmpz_mat, nmod_mat
from pyarrow import parquet

FORMAT, NETWORK, CERTIFICATE, AGREEMENT = "fiberscope results 9", 2, 3, 1e-9  # versions; how near inputs have to be
LARGEST, ELIMINATED, PRIME = 6_000_000, 250, 2**61 - 1  # entries of a matrix; sides whose rank elimination finds
FLOATS = {"float32": (np.float32, 24, 126), "float16": (np.float16, 11, 25)}  # type, its digits, where numbers end
ARRAYS = ("weight", "factor", "index", "weights", "bias", "slope")  # in the order in which digests take them
up = np.frompyfunc(lambda n: -(-n >> (k := max(n.bit_length() - 20, 0))) << k, 1, 1)  # to 20 binary digits


def require(condition, reason="numbers or matrices of this size are beyond the reach of this script"):
    if not condition:
        raise ValueError(reason)


def whole(values, exponents=0):  # integers, and e where values * 2**exponents = integers * 2**e
    require(np.size(values) <= LARGEST and np.isfinite(values).all(), "numbers that are too many, or not finite")
    mantissa, exponent = np.frexp(values)
    odd = (mantissa * 2.0**53).astype(np.int64)
    zeros = np.frexp((odd & -odd).astype(float))[1] - (odd != 0)  # at the end of the binary number
    exponent = exponent.astype(np.int64) + zeros - 53 + exponents
    least = int(exponent[odd != 0].min()) if odd.any() else 0
    shift = np.where(odd == 0, 0, exponent - least)
    require(shift.max(initial=0) < 12_000)
    return (odd >> zeros).astype(object) << shift.astype(object), least


def matrix(M, *prime):  # of integers, as flint has them; modulo a prime the rank is never larger
    return (nmod_mat if prime else fmpz_mat)(*M.shape, M.ravel().tolist(), *prime)


def array(M):  # and back
    return np.array([int(entry) for entry in M.entries()], dtype=object).reshape(M.nrows(), M.ncols())


def products(A, X, unit):  # X A^T * 2**unit, which are integers
    (A, e), (X, f) = whole(A), whole(X)
    return array(matrix(X) * matrix(A.T)) << unit + e + f


def norm_above(numbers):
    return math.isqrt(square - 1) + 1 if (square := int((numbers**2).sum())) else 0


def least_singular_value(B):  # from below: (1 - |X B - I|) / |X| for any X, here a rounded pseudoinverse
    X = np.linalg.pinv(B.astype(float))
    bits = 53 - int(np.frexp(np.abs(X).max())[1])
    X, one = np.rint(np.ldexp(X, bits)).astype(np.int64).astype(object), 2 ** max(0, bits)
    error = norm_above(array(matrix(X) * matrix(B)) - one * np.eye(B.shape[1], dtype=np.int64).astype(object))
    require(error < one, "rows are not proved to be independent")
    return Fraction(one - error, norm_above(X))


def read_array(data, form, size, start):  # the numbers, and where the next array begins
    require(form in ("<f8", "<i8", "<f4", "<i4", "set", "sparse") and 0 <= size <= LARGEST)
    if form[0] == "<":
        values = np.frombuffer(data, form, size, start)
        return values.astype(float if form[1] == "f" else np.int64), start + values.nbytes
    count, start = int.from_bytes(data[start : start + 8], "little"), start + 8
    if form == "set":
        values = np.flatnonzero(np.unpackbits(np.frombuffer(data, "u1", count, start), bitorder="little"))
        require(len(values) == size, "a set of another size")
        return values, start + count
    places, values = np.frombuffer(data, "<i8", count, start), np.zeros(size)
    require((np.diff(places) > 0).all() and (places >= 0).all(), "places that do not ascend")
    values[places] = np.frombuffer(data, "<f8", count, start + 8 * count)
    return values, start + 16 * count


def read_certificate(data):
    end = 8 + int.from_bytes(data[:8], "little")
    out = (header := json.loads(data[8:end]))["certificate"]
    require(out["version"] == CERTIFICATE, "its certificate is of another version")
    for name, (form, (size,)) in header["arrays"].items():
        *path, last = name.split(".")
        values, end = read_array(data, form, size, end)
        reduce(lambda part, key: part.setdefault(key, {}), path, out)[last] = values
    require(end == len(data), "its bytes are not as many as its header says")
    return out


def vector(values, exponents):  # integers proportional to a float or rational vector times powers of two
    if rational := isinstance(values, dict):
        require(int(values["denominator"], 16) > 0, "a denominator that is not positive")
        values = np.array([0, *(int(v, 16) for v in values["numerators"])], dtype=object)[1:]
    require(values.shape == exponents.shape and values.dtype == (object if rational else float), "another vector")
    return values << (exponents - exponents.min(initial=0)).astype(object) if rational else whole(values, exponents)[0]


class System:  # the rows R of a layer (m, n) as integers, in the units of a scaling; row m + j is coordinate j
    def __init__(self, A, r, c):
        require(r.shape + c.shape == A.shape and -5_000 < min(*r, *c) <= max(*r, *c) < 5_000, "another scaling")
        (self.m, self.n), self.rows, self.columns, self.R = A.shape, np.append(r, 0 * c), c, whole(A, c - r[:, None])[0]
        self.matrix, self.nonzero, self.independent = matrix(self.R), A != 0, []  # rows that are, and on which columns
        rows, columns = ([math.isqrt(v) + 1 for v in (self.R**2).sum(axis=k)] for k in (1, 0))
        self.norms = np.array([rows + [1] * self.n, [1] * self.m + columns], dtype=object)

    def mask(self, numbers, first=0):  # the rows with these numbers, which begin at the first one
        there = numbers.dtype == np.int64 and ((numbers >= first) & (numbers < self.m + self.n)).all()
        require(there and len(np.unique(numbers)) == len(numbers), "rows that are not there, or named twice")
        return np.isin(np.arange(self.m + self.n), numbers)

    def live(self, zero):  # which rows are not zero where these coordinates are
        return np.append(self.nonzero[:, ~zero[self.m :]].any(axis=1), ~zero[self.m :])

    def relations(self, given):  # the rows of each relation, and the columns on which it fails
        terms = [(given["rows"][i:j], given["values"][i:j]) for i, j in pairwise(given["starts"].tolist())]
        for k, (rows, values) in enumerate(terms):
            later = any(rows[0] in more for more, _ in terms[k + 1 :]) or self.mask(rows)[self.m :].any()
            require(values[0] != 0 and not later, "relations that are not independent")
        return [(rows, vector(values, self.rows[rows]) @ self.R[rows] != 0) for rows, values in terms]

    def rank(self, rows, relations=()):  # bounds on the rank of rows, a mask; relations take off
        live, free, fixed = self.live(rows), ~rows[self.m :], int(rows[self.m :].sum())
        own, more = rows & live, rows & live
        holding = [part[live[part]] for part, fails in relations if live[part[0]] and not fails[free].any()]
        more[np.concatenate([*holding, np.zeros(0, dtype=np.int64)])] = True
        high = min(int(own.sum() - sum(own[p].all() for p in holding)), int(more.sum()) - len(holding), int(free.sum()))
        shown = any(rows[basis].sum() == high and not (columns & ~free).any() for basis, columns in self.independent)
        low = high if shown else matrix(self.R[own[: self.m]][:, free], PRIME).rank()
        if low < high <= ELIMINATED:
            low = high = matrix(self.R[own[: self.m]][:, free]).rank()
        return fixed + low, fixed + high

    def multipliers(self, given, fixed):  # signs of exact weights (0: unknown), rows that have any, if they span
        named, weight = self.mask(given["rows"]), np.zeros(self.m + self.n, dtype=object)
        weight[given["rows"]] = vector(given["values"], self.rows[given["rows"]])
        own, used = named[: self.m], self.nonzero[named[: self.m]].any(axis=0)
        c = (weight[: self.m][own, None] * self.R[own]).sum(axis=0)
        named[self.m :] &= used & ~fixed  # these absorb; others have weight 0, or need none
        free, weight[self.m :] = ~fixed & ~named[self.m :], -c
        B = self.R[own][:, free & used]
        distance = norm_above(c[free]) / least_singular_value(B) if np.any(c[free] != 0) else Fraction(0)
        sign = np.sign(weight) * (named & (abs(weight) > distance * self.norms[1]))
        return sign, named, bool(used[free].all()) and (distance > 0 or matrix(B, PRIME).rank() == free.sum())

    def direction(self, given, relations):  # signs of the exact direction on all rows; 2 where they are unknown
        held, d, distance = self.mask(given["held"]), vector(given["values"], -self.columns), Fraction(0)
        free, live = ~held[self.m :], self.live(held)
        require(not np.any(d[~free] != 0), "a direction that moves a coordinate that it holds")
        value = np.append(array(self.matrix * matrix(d[:, None])), d)
        if np.any(value[held & live] != 0):
            basis = np.flatnonzero(held & live if given.get("basis") is None else self.mask(given["basis"]))
            distance = norm_above(value[basis]) / least_singular_value(self.R[basis][:, free].T)
            self.independent.append((basis, free))
            most = self.rank(held, relations)[1] if (held & live)[basis].all() else math.inf
            require(most == len(basis) + (~free).sum(), "held rows are not shown to depend on the basis")
        known = np.where(abs(value) > distance * self.norms[0], np.sign(value), 2 if distance else 0)
        return np.where(held | ~live, 0, known).astype(np.int8)


class Proof:  # a certificate for one layer; a cone is three masks over all rows: 0 on it, at most 0, at least 0
    def __init__(self, data, A, systems, fixed):
        self.given, none = (given := read_certificate(data)), np.zeros(0, dtype=np.int64)
        scaling, faces = given.get("scaling", {}), [given.get(name, {}) for name in ("tangent", "recession")]
        r, c = (scaling.get(name, np.zeros(A.shape[k], dtype=int)) for k, name in enumerate(("rows", "columns")))
        key = r.tobytes(), c.tobytes()
        self.system = system = systems[key] = systems.get(key) or System(A, r, c)
        self.relations = system.relations(given["relations"]) if given.get("relations") else []
        self.zero, self.counted = (system.mask(system.m + given.get(k, none), system.m) for k in ("zero", "counted"))
        weights, ways = ([face.get(part) for face in faces] for part in ("multipliers", "direction"))
        self.weights = [w and system.multipliers(w, equal) for w, equal in zip(weights, fixed, strict=True)]
        self.ways = [system.direction(d, self.relations) for d in ways if d]
        self.ray = self.ways[-1:] if ways[1] else []

    def vanishing(self, cone, weights):  # rows that vanish on a cone, with those that multipliers name; if they span
        sign, named, spans = weights or (None, None, False)
        fits = weights and (cone[0] | (cone[1] & (sign > 0)) | (cone[2] & (sign < 0)))[named].all()
        return (cone[0] | named, spans) if fits else (cone[0], False)

    def count(self, cone):  # how many more counted coordinates there are than conditions on them
        return max(0, int(self.counted.sum() - (cone.any(axis=0) & self.system.live(~self.counted)).sum()))

    def moving(self, cone, ways):  # those directions that are not 0, and lie in a cone
        return [d for d in ways if (abs(d) == 1).any() and not (cone & [d != 0, d > 0, d // 2 != 0]).any()]

    def dimension(self, cone):  # bounds on the dimension of a tangent cone
        system, zero, (rows, spans) = self.system, self.zero, self.vanishing(cone, self.weights[0])
        if zero.any() and not (rows & zero).any():
            held = matrix(system.R[(rows & ~system.live(rows | zero))[: system.m]][:, zero[system.m :]], PRIME).rank()
            require(held == zero.sum(), "coordinates are not held at zero")
            rows = rows | zero
        low, high = system.rank(rows, self.relations)
        (_, upper, lower), ways = cone & ~rows & system.live(rows), self.moving(cone, self.ways)
        strict = not (upper | lower).any() or any((d[upper] == -1).all() and (d[lower] == 1).all() for d in ways)
        least = max(self.count(cone), system.n - high if strict else 0, int(len(ways) > 0))
        return (0, 0) if spans else (least, system.n - low)

    def check(self, near, far, finding):  # ValueError unless what is found follows from the cones near x and far away
        kind, stored, (low, high) = finding["kind"], finding["dimension"], self.dimension(near)
        require((self.given["kind"], self.given.get("dimension", stored)) == (kind, stored), "another certificate")
        least, most = finding.get("dimension_low", low), finding.get("dimension_high", high)
        bounded = least <= low <= high <= most and (stored is None or least == stored == most)
        require(bounded, f"a dimension of {low} to {high} is proved, not {stored} or {least} to {most}")
        (rows, spans), runs = self.vanishing(far, self.weights[1]), self.moving(far, self.ray) or self.count(far)
        spans = spans or (kind == "bounded" and self.system.rank(rows)[0] == self.system.n)
        shown = {"singleton": high == 0, "bounded": low > 0 and spans, "unbounded": low > 0 and runs}
        require(shown.get(kind), f"it is not proved that it is {kind}")


def sides(layer, X, precision="exact", step=None):  # where units lie at X: masks for cones, and two counts
    (A, b, *ends, monotone, _), exact = layer, precision == "exact"
    rows, X = np.column_stack([A, b]), np.column_stack([X, np.ones(len(X))])
    width = 0.0 if (named := precision in ("exact", "int8", *FLOATS)) else float(precision)
    require({"int8": step or 0}.get(precision, named or width) > 0, f"{precision} is no precision, or {step} no step")
    unit = 200 + sum(Fraction(v).denominator.bit_length() for v in (*ends, step or 0.0, width) if abs(v) < np.inf)
    unit -= min(whole(rows)[1], 0) + min(whole(X)[1], 0)  # all numbers are integers times 2**-unit
    z, (p, q) = products(rows, X, unit), (int(Fraction(v) * 2**unit) if abs(v) < np.inf else None for v in ends)
    far, wide = np.full(z.shape, np.inf, dtype=object), np.inf if None in (p, q) else q - p  # objects compare exactly
    rise, fall = far if p is None else z - p, far if q is None else q - z
    below = above = int(Fraction(width) * 2**unit)  # what a number says; names say more
    if precision == "int8":
        y, s, (first, last) = np.clip(z, p, q), int(Fraction(step) * 2**unit), (-128, 127) if ends[0] < 0 else (0, 255)
        code = np.clip(y // s + (2 * (y % s) + y // s % 2 > s), first, last)  # of the nearest ones the even one
        below, above = (up(np.maximum((s >> 1) + side * (y - code * s), 0) + (s >> 40)) for side in (1, -1))
        below, above = np.where(code == first, np.inf, below), np.where(code == last, np.inf, above)
    elif precision in FLOATS:
        (dtype, digits, exponent), rows, X, ones = FLOATS[precision], abs(rows), abs(X), np.ones((1, A.shape[1]))
        sums, terms = products(rows, X, unit), np.count_nonzero(A, axis=1).astype(object)
        k, length = 2 ** (26 - digits) + terms + 2, products(ones, X[:, :-1], unit) + products(rows[:, :-1], ones, unit)
        moved = max((abs(Fraction(float(dtype(end))) - Fraction(end)) for end in ends if abs(end) < np.inf), default=0)
        bound = -(-k * sums // (2**24 - k)) + (length + (3 * terms + 6 << unit) >> exponent - 1) + int(moved * 2**unit)
        fits = max(rows.max(), X.max(), Fraction((sums + bound).max(), 2**unit)) <= float(np.finfo(dtype).max)
        require(fits and max(k) <= 2**23, f"sums that are too long for {precision}, or numbers that it does not hold")
        below = above = up(bound)
    lower, upper = (below < rise) & (below < wide) | monotone, (above < fall) & (above < wide) | monotone
    counts = ((rise > 0) | monotone, (fall <= 0) & ~monotone) if exact else (lower, ~upper & (q is not None))
    at_upper, at_lower, equal = (rise == 0) & exact, (fall == 0) & exact, (lower & upper & exact) | monotone
    return lower, upper, equal, at_upper, at_lower, [count.sum(axis=1) for count in counts]


def cones(units, X, low, high):  # the tangent and the recession cone of each sample
    box = abs(low) < np.inf, abs(high) < np.inf, low == high, high == X, low == X
    lower, upper, equal, at_upper, at_lower = map(lambda u, b: np.hstack([u, np.full(X.shape, b)]), units, box)
    tangent = np.stack([equal, upper & at_upper & ~equal, lower & at_lower & ~equal], axis=1)
    return tangent, np.stack([lower & upper, upper & ~lower, lower & ~upper], axis=1)


class Network:  # what model.safetensors describes, evaluated at the samples x
    def __init__(self, data, x):
        start = 8 + int.from_bytes(data[:8], "little")
        said = json.loads((header := json.loads(data[8:start])).pop("__metadata__")["fiberscope.network"])
        require(said["version"] == NETWORK, "the network is of another version")
        self.stages, self.arrays, self.known = said["stages"], {}, {-1: x.reshape(len(x), -1).astype(float)}
        for name, entry in header.items():
            (low, high), size = entry["data_offsets"], entry["dtype"]
            stored = np.frombuffer(data[start + low : start + high], f"<{size[0].lower()}{int(size[1:]) // 8}")
            self.arrays[name] = stored.reshape(entry["shape"]).astype(float if size[0] == "F" else np.int64)
        text = json.dumps({key: said[key] for key in ("input_shape", "stages")}, sort_keys=True).encode()
        place = {name: (2, k) for k, name in enumerate(ARRAYS)} | {"forward": (1, 0)}
        names = sorted(self.arrays, key=lambda name: [place.get(p) or (0, int(p)) for p in name.split(".")])
        self.digest = sha256(b"".join([text, *(self.arrays[name].tobytes() for name in names)])).hexdigest()
        self.maps = {-1: None} | {k: stage["parts"].get("maps") for k, stage in enumerate(self.stages)}
        behind = [k for k, stage in enumerate(self.stages) if not self.maps[k] and self.maps[stage["sources"][0]]]
        self.layers = [k for k in behind if self.stages[k]["parts"]["activation"]["kind"] != "maximum"]

    def matrix(self, part, name):
        weight, factor, index, weights, bias, _ = (self.arrays.get(f"{name}.{key}") for key in ARRAYS)
        if part["kind"] in ("dense", "transposed"):
            return (weight if part["kind"] == "dense" else self.matrix(part["forward"], f"{name}.forward")[0].T), bias
        require(bias is not None, f"{part['kind']}s of maps are beyond the reach of this script")
        m, n = len(bias), math.prod(part.get("input_shape", [part.get("inputs", len(bias))]))
        require(m * n <= LARGEST)
        index, weights = (np.arange(n), factor) if part["kind"] == "diagonal" else (index, weights)
        if part["kind"] == "convolution":
            (channels, width, *kernel), gaps, groups = weight.shape, part["dilation"], part["groups"]
            grid = np.pad(np.arange(n).reshape(part["input_shape"]), [(0, 0), *part["padding"]], constant_values=-1)
            reach = [gap * (taps - 1) + 1 for gap, taps in zip(gaps, kernel, strict=True)]
            seen = np.lib.stride_tricks.sliding_window_view(grid, reach, tuple(range(1, grid.ndim)))
            seen = seen[(slice(None), *(slice(None, None, step) for step in (*part["stride"], *gaps)))]
            index = np.repeat(seen.reshape(groups, width, m // channels, -1), channels // groups, axis=0).swapaxes(1, 2)
            weights = np.broadcast_to(weight.reshape(channels, 1, width, -1), index.shape)
        A, index, weights = np.zeros((m, n)), index.reshape(m, -1), np.ones(index.size) if weights is None else weights
        np.add.at(A, (np.nonzero(index >= 0)[0], index[index >= 0]), weights.reshape(m, -1)[index >= 0])
        return A, bias

    def layer(self, number):  # A, b, bounds of outputs, which units are monotone, and the stage that it reads
        activation, (before,) = self.stages[number]["parts"]["activation"], self.stages[number]["sources"]
        factors, value = [], None
        while self.maps[before]:
            require(len(self.maps[before]) == 1, "layers where branches meet are beyond the reach of this script")
            (part,), name = self.maps[before], f"{before}.0"
            inner = part["maps"] if part["kind"] == "composition" else [part]
            factors[:0] = [(p, name if p is part else f"{name}.{i}") for i, p in enumerate(inner)]
            (before,) = self.stages[before]["sources"]
        for A, b in (self.matrix(*factor) for factor in factors):
            if value is not None:  # products are rounded one after the other, in ascending order of columns
                total = sum(A[:, k, None] * row for k, row in enumerate(np.column_stack(value)))
                A, b = total[:, :-1], total[:, -1] + b
            value = A, b
        bounds = (activation["alpha"], activation["beta"]) if activation["kind"] == "clip" else (0.0, np.inf)
        rises = {"relu": 0, "clip": 0, "elu": activation["alpha"], "leaky_relu": self.arrays.get(f"{number}.slope")}
        rise = np.broadcast_to(rises.get(activation["kind"], 1), len(b))
        require((rise >= 0).all(), "an activation that falls and rises")
        return *value, *bounds, rise > 0, before

    def value(self, number):  # what a stage gives in floats; NaN where this script does not say
        if number not in self.known:
            (source, *_), index = self.stages[number]["sources"], self.arrays.get(f"{number}.index")
            self.known[number] = np.full((len(self.known[-1]), 1), np.nan)
            with suppress(ValueError):  # behind branches
                if number in self.layers:
                    A, b, low, high, monotone, before = self.layer(number)
                    self.known[number] = np.where(monotone, np.nan, np.clip(self.value(before) @ A.T + b, low, high))
                elif index is not None and not self.maps[source]:
                    self.known[number] = np.where(index >= 0, self.value(source)[:, index], -np.inf).max(axis=2)
        return self.known[number]


def questions_of(manifest, k):  # precisions, domains and their bounds, and steps, in the order of findings
    layer, domains = manifest["network_layers"][manifest["layers"][k]], [("R^n", -np.inf, np.inf)]
    known = {"nonnegative": (0, None), "input": manifest["domain"], "clipped": layer.get("bounds")}
    if bounds := known.get(layer["reads"]):
        low, high = (float(end if v is None else v) for v, end in zip(bounds, (-np.inf, np.inf), strict=True))
        short = ",".join(str(int(v)) if v.is_integer() else repr(v) for v in (low, high))
        domains.append(("x >= 0" if layer["reads"] == "nonnegative" else f"box [{short}]", low, high))
    step = manifest["steps"][k] if manifest["steps"] else None
    return [(known, *domain, step) for known in dict.fromkeys(["exact", manifest["precision"]]) for domain in domains]


def check_chunk(folder, told, network, number, questions, stem, samples):  # why each verdict is not proved, or ""
    names = [f"certificates/{stem}.parquet", f"preimages/{stem}.parquet", f"inputs/{stem}.npy"]
    paths = {name.split("/")[0]: folder / name for name in names}
    same = told == {part: sha256(path.read_bytes()).hexdigest() for part, path in paths.items()}
    require(same, "its files are not as they were written, or the audit is not complete")
    findings, stored = (parquet.read_table(paths[part]).to_pylist() for part in ("preimages", "certificates"))
    stored = {row["id"]: row["data"] for row in stored if sha256(row["data"]).hexdigest()[:32] == row["id"]}
    X, layer, proofs, systems, out = np.load(paths["inputs"]), network.layer(network.layers[number]), {}, {}, []
    given = network.value(layer[-1])[samples.start : samples.stop]
    allowed = AGREEMENT * np.abs(given[np.isfinite(given)]).max(initial=0.0) * (layer[-1] >= 0)
    require(len(X) == len(given) and not (abs(X - given) > allowed).any(), "inputs are not what the network gives")
    asked = [(number, known, name, sample) for known, name, *_ in questions for sample in samples]
    found = [(row["layer"], row["precision"], row["domain"], row["sample"]) for row in findings]
    require(found == asked, "findings are missing, or not those of the samples")
    finite, remaining = np.where(np.isfinite(X), X, 0.0), iter(findings)
    units = {known: sides(layer, finite, *known) for known in {(precision, step) for precision, *_, step in questions}}
    for precision, name, low, high, step in questions:
        given = *cones(units[precision, step], finite, low, high), *units[precision, step][-1]
        for x, tangent, recession, *counts, row in zip(X, *given, remaining, strict=False):
            try:
                if row["kind"] != "undecided":
                    require(precision == "exact" or not layer[4].any(), "beyond this script: monotone at a precision")
                    require(((low <= x) & (x <= high) & np.isfinite(x)).all(), f"its input is not in {name}")
                    require([row["positives"], row.get("saturated", counts[1])] == counts, f"counts are {counts}")
                    if (key := (row["certificate"], name)) not in proofs:
                        fixed = tangent[0, -len(x) :], recession[0, -len(x) :]
                        proofs[key] = Proof(stored[row["certificate"]], layer[0], systems, fixed)
                    proofs[key].check(tangent, recession, row)
                out.append("undecided" if row["kind"] == "undecided" else "")
            except Exception as error:
                out.append(f"sample {row['sample']}, {name}, {precision}: {type(error).__name__}: {error}")
    return out


def main(folder):
    text, ledger = ((folder / name).read_bytes() for name in ("manifest.json", "digests.jsonl"))
    manifest, start, outcomes = json.loads(text), text.rfind(b"sealed by SHA-256 ") + 18, []
    seal = sha256(text[:start] + b"0" * 64 + text[start + 64 :]).hexdigest().encode()
    require(manifest["format"] == FORMAT, f"manifest.json is of {manifest['format']}, this script reads {FORMAT}")
    arrays = [array for name, array in sorted(np.load(folder / "data.npz").items()) if name in ("x", "y")]
    network = Network((folder / "model.safetensors").read_bytes(), arrays[0])
    digest = sha256(b"".join(f"{a.dtype.str} {a.shape} ".encode() + a.tobytes() for a in arrays)).hexdigest()
    told = {e["name"]: {part: of[0] for part, of in e["files"].items()} for e in map(json.loads, ledger.splitlines())}
    have = {"model_digest": network.digest, "data_digest": digest, "digests": sha256(ledger).hexdigest()}
    for k, i in ((k, i) for k, size in enumerate(manifest["blocks"]) for i in range(0, manifest["samples"], size)):
        number, size, questions = manifest["layers"][k], manifest["blocks"][k], questions_of(manifest, k)
        samples, stem = range(manifest["samples"])[i : i + size], f"layer-{number:02d}-block-{i // size:04d}"
        try:
            require(manifest | have == manifest and seal == text[start:][:64], "files are not as they were written")
            require(len(network.layers) == len(manifest["network_layers"]), "layers that are not judged: out of reach")
            reasons = check_chunk(folder, told.get(stem), network, number, questions, stem, samples)
        except Exception as error:
            reasons = [f"{type(error).__name__}: {error}"] * len(questions) * len(samples)
        outcomes += reasons
        failed = [f"{stem}: {why}" for why in reasons if why not in ("", "undecided")]
        print(*failed[:20], sep="\n", end="\n" * bool(failed))
        print(f"{stem}: {reasons.count('')} proved, {len(failed)} not", file=sys.stderr, flush=True)
    proved, undecided = outcomes.count(""), outcomes.count("undecided")
    print(f"{undecided} undecided\nproved {proved} of {len(outcomes) - undecided}")
    return int(proved + undecided < len(outcomes))


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1])))
    except Exception as error:
        sys.exit(print(f"{type(error).__name__}: {error}", "proved 0 of 0", sep="\n") or 1)
