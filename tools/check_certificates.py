"""Prove the verdicts of a results folder as docs/certificates.md specifies; the last line says "proved N of M"."""

import json
import math
import sys
from contextlib import suppress
from fractions import Fraction
from functools import reduce
from hashlib import sha256
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from pyarrow import parquet

FORMAT, NETWORK, CERTIFICATE = "fiberscope results 6", 2, 3  # versions that this script reads
LARGEST, ELIMINATED = 6_000_000, 250  # entries of a matrix; rows or columns whose rank is found by elimination
PRIME, LIMB = 2**31 - 1, 15  # 2**23 products of limbs of 15 bits add up exactly in float64
AGREEMENT = 1e-9  # of stored inputs with computed ones, relative to the largest
DIGITS, SHARE = 20, Fraction(1, 2**40)  # significant digits of what is known of outputs; what widens cells of codes
FLOATS = {"float32": (np.float32, 24, 126), "float16": (np.float16, 11, 25)}  # type, its digits, where numbers end
ARRAYS = ("weight", "factor", "index", "weights", "bias", "slope")  # in the order in which digests take them


def require(condition, reason="numbers or matrices of this size are beyond the reach of this script"):
    if not condition:
        raise ValueError(reason)


def whole(values, exponents=0):  # integers proportional to values * 2**exponents: a positive factor changes no sign
    require(np.size(values) <= LARGEST and np.isfinite(values).all(), "numbers that are too many, or not finite")
    mantissa, exponent = np.frexp(values)
    odd, exponent = (mantissa * 2.0**53).astype(np.int64), exponent.astype(np.int64) + exponents
    shift = np.where(odd == 0, 0, exponent - exponent.min(initial=2**40, where=odd != 0))
    require(shift.max(initial=0) < 12_000)
    numbers = odd.astype(object) << shift.astype(object)
    common = np.gcd.reduce(numbers, axis=None) if odd.any() else 1
    return numbers // (common & -common)


def products(A, X):  # X A^T exactly, as fractions
    A, X = ((whole(M), Fraction(np.abs(M).max(initial=0))) for M in (A, X))
    unit = math.prod(largest / max(abs(numbers).max(), 1) for numbers, largest in (A, X))
    return times(X[0], A[0].T) * unit


@np.vectorize
def up(number):  # to the next number of DIGITS significant binary digits
    shift = number.numerator.bit_length() - number.denominator.bit_length() - DIGITS
    shift += number >= Fraction(2) ** (shift + DIGITS)
    return math.ceil(number / Fraction(2) ** shift) * Fraction(2) ** shift


def times(A, B):  # the product of two matrices of integers, by floats, without rounding
    total, limbs = np.zeros((A.shape[0], B.shape[1]), dtype=object), []
    for size, sign in ((abs(M), np.where(M < 0, -1.0, 1.0)) for M in (A, B)):
        bits = int(size.max(initial=0)).bit_length()
        size = size.astype(np.int64) if bits < 63 else size
        limbs.append([sign * ((size >> k) & (2**LIMB - 1)).astype(float) for k in range(0, bits, LIMB)])
    for i, a in enumerate(limbs[0]):
        for j, b in enumerate(limbs[1]):
            total += (a @ b).astype(np.int64).astype(object) << LIMB * (i + j)
    return total


def norm_above(numbers):
    return math.isqrt(square - 1) + 1 if (square := int((numbers**2).sum())) else 0


def rank_of(M, prime=PRIME):  # the rank modulo a prime, never larger than the rank; for prime 0 the rank (Bareiss)
    M, rank, before = M if M.shape[0] <= M.shape[1] else M.T, 0, 1
    M = (M % prime).astype(np.int64) if prime else M.copy()
    for column in range(M.shape[1]):
        found = rank + np.flatnonzero(M[rank:, column])
        if found.size:
            M[[rank, found[0]]] = M[[found[0], rank]]
            pivot, below = M[rank, column], M[rank + 1 :, column:]
            step = pivot * below - below[:, :1] * M[rank, column:]
            below[:] = step % prime if prime else step // before
            rank, before = rank + 1, pivot
    return rank


def least_singular_value(B):  # from below: (1 - |X B - I|) / |X| for any X, here a rounded pseudoinverse
    X = np.linalg.pinv(B.astype(float))
    bits = 53 - int(np.frexp(np.abs(X).max())[1])
    X, one = np.rint(np.ldexp(X, bits)).astype(np.int64).astype(object), 2 ** max(0, bits)
    error = norm_above(times(X, B) - one * np.eye(B.shape[1], dtype=np.int64).astype(object))
    require(error < one, "rows are not proved to be independent")
    return Fraction(one - error, norm_above(X))


def read_certificate(data):
    end = 8 + int.from_bytes(data[:8], "little")
    out = (header := json.loads(data[8:end]))["certificate"]
    require(out["version"] == CERTIFICATE, "its certificate is of another version")
    for name, (dtype, (size,)) in header["arrays"].items():
        *path, last = name.split(".")
        reduce(lambda part, key: part.setdefault(key, {}), path, out)[last] = np.frombuffer(data, dtype, size, end)
        end += 8 * size
    require(end == len(data), "its bytes are not as many as its header says")
    return out


def vector(values, exponents):  # integers proportional to a float or rational vector times powers of two
    if rational := isinstance(values, dict):
        require(int(values["denominator"], 16) > 0, "a denominator that is not positive")
        values = np.array([0, *(int(v, 16) for v in values["numerators"])], dtype=object)[1:]
    require(values.shape == exponents.shape and values.dtype == (object if rational else float), "another vector")
    return values << (exponents - exponents.min(initial=0)).astype(object) if rational else whole(values, exponents)


class System:  # the rows R of a layer (m, n) as integers, in the units of a scaling; row m + j is coordinate j
    def __init__(self, A, scaling):
        self.m, self.n = A.shape
        none = {"rows": np.zeros(self.m, dtype=np.int64), "columns": np.zeros(self.n, dtype=np.int64)}
        r, c = ((scaling or none)[name].astype(np.int64) for name in ("rows", "columns"))
        fits = r.shape + c.shape == A.shape and all(-5_000 < e.min() <= e.max() < 5_000 for e in (r, c))
        require(fits, "a scaling of another shape or size")
        self.rows, self.columns, self.R, self.nonzero = np.append(r, 0 * c), c, whole(A, c - r[:, None]), A != 0
        self.modular, self.independent = (self.R % PRIME).astype(np.int64), []  # rows that are, and on which columns
        rows, columns = ([math.isqrt(v) + 1 for v in (self.R**2).sum(axis=k)] for k in (1, 0))
        self.norms = np.array([rows + [1] * self.n, [1] * self.m + columns], dtype=object)

    def mask(self, numbers):  # the rows with these numbers
        there = numbers.dtype == np.int64 and ((numbers >= 0) & (numbers < self.m + self.n)).all()
        require(there and len(np.unique(numbers)) == len(numbers), "rows that are not there, or named twice")
        return np.isin(np.arange(self.m + self.n), numbers)

    def live(self, zero):  # which rows are not zero where these coordinates are
        return np.append(self.nonzero[:, ~zero[self.m :]].any(axis=1), ~zero[self.m :])

    def relations(self, given):  # the rows of each relation, and the columns on which it fails
        terms = [(given["rows"][i:j], given["values"][i:j]) for i, j in pairwise(given["starts"].tolist())]
        for k, (rows, values) in enumerate(terms):
            later = any(rows[0] in more for more, _ in terms[k + 1 :])
            fits = values[0] != 0 and not later and not self.mask(rows)[self.m :].any()
            require(fits, "relations that are not independent")
        return [(rows, vector(values, self.rows[rows]) @ self.R[rows] != 0) for rows, values in terms]

    def rank(self, rows, relations=()):  # bounds on the rank of rows, a mask; relations take off
        live, free, fixed = self.live(rows), ~rows[self.m :], int(rows[self.m :].sum())
        own, more = rows & live, rows & live
        holding = [part[live[part]] for part, fails in relations if live[part[0]] and not fails[free].any()]
        inside = sum(own[part].all() for part in holding)
        more[np.concatenate([*holding, np.zeros(0, dtype=np.int64)])] = True
        high = min(int(own.sum() - inside), int(more.sum()) - len(holding), int(free.sum()))
        shown = any(rows[basis].sum() == high and not (columns & ~free).any() for basis, columns in self.independent)
        low = high if shown else rank_of(self.modular[own[: self.m]][:, free])
        if low < high <= ELIMINATED:
            low = high = rank_of(self.R[own[: self.m]][:, free], 0)
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
        return sign, named, bool(used[free].all()) and (distance > 0 or rank_of(B) == free.sum())

    def direction(self, given, relations):  # signs of the exact direction on all rows; 2 where they are unknown
        held, d, distance = self.mask(given["held"]), vector(given["values"], -self.columns), Fraction(0)
        free, live = ~held[self.m :], self.live(held)
        require(not np.any(d[~free] != 0), "a direction that moves a coordinate that it holds")
        value = np.append(times(self.R, d[:, None])[:, 0], d)
        if np.any(value[held & live] != 0):
            basis = np.flatnonzero(held & live if given.get("basis") is None else self.mask(given["basis"]))
            distance = norm_above(value[basis]) / least_singular_value(self.R[basis][:, free].T)
            self.independent.append((basis, free))
            depend = (held & live)[basis].all() and self.rank(held, relations)[1] == len(basis) + (~free).sum()
            require(depend, "held rows are not shown to depend on the basis")
        known = np.where(abs(value) > distance * self.norms[0], np.sign(value), 2 if distance else 0)
        return np.where(held | ~live, 0, known).astype(np.int8)


class Proof:  # a certificate for one layer; a cone is three masks over all rows: 0 on it, at most 0, at least 0
    def __init__(self, data, A, systems, fixed):
        self.given, none = read_certificate(data), np.zeros(0, dtype=np.int64)
        scaling, faces = self.given.get("scaling"), [self.given.get(name) or {} for name in ("tangent", "recession")]
        key = b"".join(scaling[name].tobytes() for name in ("rows", "columns")) if scaling else b""
        self.system = system = systems[key] = systems.get(key) or System(A, scaling)
        self.relations = system.relations(self.given["relations"]) if self.given.get("relations") else []
        named = (system.mask(self.given.get(name, none) + system.m) for name in ("zero", "counted"))
        self.zero, self.counted = (mask & (np.arange(len(mask)) >= system.m) for mask in named)
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
        in_cone = [(d[cone[0]] == 0).all() and (d[cone[1]] <= 0).all() and (d[cone[2]] // 2 == 0).all() for d in ways]
        return [d for d, fits in zip(ways, in_cone, strict=True) if fits and (abs(d) == 1).any()]

    def dimension(self, cone):  # bounds on the dimension of a tangent cone
        system, m, zero = self.system, self.system.m, self.zero
        rows, spans = self.vanishing(cone, self.weights[0])
        if zero.any() and not (rows & zero).any():
            supported = (rows & ~system.live(rows | zero))[:m]
            require(
                rank_of(system.modular[supported][:, zero[m:]]) == zero.sum(), "coordinates are not shown to be zero"
            )
            rows = rows | zero
        low, high = system.rank(rows, self.relations)
        _, upper, lower = cone & ~rows & system.live(rows)
        ways = self.moving(cone, self.ways)
        strict = not (upper | lower).any() or any((d[upper] == -1).all() and (d[lower] == 1).all() for d in ways)
        least = max(self.count(cone), system.n - high if strict else 0, int(len(ways) > 0))
        return (0, 0) if spans else (least, system.n - low)

    def check(self, tangent, recession, finding):  # ValueError unless what is found follows
        kind, stored, (low, high) = finding["kind"], finding["dimension"], self.dimension(tangent)
        require((self.given["kind"], self.given.get("dimension", stored)) == (kind, stored), "another certificate")
        least, most = finding.get("dimension_low", low), finding.get("dimension_high", high)
        fits = least <= low <= high <= most and (stored is None or least == low == stored == high == most)
        require(fits, f"a dimension of {low} to {high} is proved, not {stored} or {least} to {most}")
        rows, spans = self.vanishing(recession, self.weights[1])
        spans = spans or (kind == "bounded" and self.system.rank(rows)[0] == self.system.n)
        runs = self.moving(recession, self.ray) or self.count(recession)
        shown = {"singleton": high == 0, "bounded": low > 0 and spans, "unbounded": low > 0 and runs}
        require(shown.get(kind), f"it is not proved that it is {kind}")


def slack(rows, inputs, y, ends, precision, step):  # how far below and above y outputs may be that count as the same
    if precision == "int8":
        s, (first, last) = Fraction(step), (-128, 127) if ends[0] < 0 else (0, 255)
        require(s > 0, "a step that is not positive")
        code = np.clip(np.frompyfunc(round, 1, 1)(y / s), first, last)
        below, above = (up(np.maximum(s / 2 + side * (y - code * s), 0) + SHARE * s) for side in (1, -1))
        return np.where(code == first, np.inf, below), np.where(code == last, np.inf, above)
    if precision not in FLOATS:
        require(float(precision) > 0, f"{precision} is no precision")
        return Fraction(float(precision)), Fraction(float(precision))
    (dtype, digits, exponent), rows, inputs = FLOATS[precision], abs(rows), abs(inputs)
    sums, terms = products(rows, inputs), np.count_nonzero(rows[:, :-1], axis=1).astype(object)
    k, ones = Fraction(4, 2**digits) + (terms + 2) * Fraction(1, 2**24), np.ones((1, rows.shape[1] - 1))
    lengths = products(ones, inputs[:, :-1]) + products(rows[:, :-1], ones)
    moved = max((abs(Fraction(float(dtype(end))) - end) for end in ends if end not in (-np.inf, np.inf)), default=0)
    bound = k / (1 - k) * sums + Fraction(2, 2**exponent) * (lengths + 3 * terms + 6) + moved
    fits = max(rows.max(), inputs.max(), (sums + bound).max()) <= float(np.finfo(dtype).max) and max(k) <= 0.5
    require(fits, f"sums that are too long for {precision}, or numbers that it does not hold")
    return up(bound), up(bound)


@np.errstate(invalid="ignore")  # inf - inf is NaN, which is on no side of anything
def cones(layer, X, low, high, precision="exact", step=None):  # two for each sample, and two counts of units
    (A, b, *ends, monotone, _), exact = layer, precision == "exact"
    rows, inputs = np.column_stack([A, b]), np.column_stack([X, np.ones(len(X))])
    z, (p, q) = products(rows, inputs), (Fraction(end) if np.isfinite(end) else end for end in ends)
    below, above = (0, 0) if exact else slack(rows, inputs, np.clip(z, p, q), (p, q), precision, step)
    positive, saturated = z > p + below, z >= q - above
    lower, upper = (positive & (q > p + below)) | monotone, (~saturated & (p < q - above)) | monotone
    counts = (positive | monotone, saturated & ~monotone) if exact else (lower, ~upper & (q < np.inf))
    units = lower, upper, (lower & upper & exact) | monotone, (z == p) & exact, (z == q) & exact
    box = np.isfinite(low), np.isfinite(high), low == high, high == X, low == X
    both = (np.hstack([of, np.broadcast_to(on, X.shape)]) for of, on in zip(units, box, strict=True))
    lower, upper, equal, at_upper, at_lower = both
    tangent = np.stack([equal, upper & at_upper & ~equal, lower & at_lower & ~equal], axis=1)
    recession = np.stack([lower & upper, upper & ~lower, lower & ~upper], axis=1)
    return tangent, recession, *(count.sum(axis=1) for count in counts)


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
        if part["kind"] == "dense":
            return weight, bias
        if part["kind"] == "transposed":
            return self.matrix(part["forward"], f"{name}.forward")[0].T, bias
        require(bias is not None, f"{part['kind']}s of maps are beyond the reach of this script")
        m, n = len(bias), math.prod(part.get("input_shape", [part.get("inputs", len(bias))]))
        require(m * n <= LARGEST)
        if part["kind"] == "diagonal":
            index, weights = np.arange(n), factor
        if part["kind"] == "convolution":
            (channels, width, *kernel), gaps = weight.shape, part["dilation"]
            grid = np.pad(np.arange(n).reshape(part["input_shape"]), [(0, 0), *part["padding"]], constant_values=-1)
            reach = [gap * (taps - 1) + 1 for gap, taps in zip(gaps, kernel, strict=True)]
            seen = np.lib.stride_tricks.sliding_window_view(grid, reach, tuple(range(1, grid.ndim)))
            seen = seen[(slice(None), *(slice(None, None, step) for step in (*part["stride"], *gaps)))]
            seen = seen.reshape(part["groups"], width, m // channels, -1).swapaxes(1, 2)
            index = np.repeat(seen, channels // part["groups"], axis=0)
            weights = np.broadcast_to(weight.reshape(channels, 1, width, -1), index.shape)
        A, index = np.zeros((m, n)), index.reshape(m, -1)
        weights = np.ones(index.shape) if weights is None else weights.reshape(m, -1)
        row, column = np.nonzero(index >= 0)
        np.add.at(A, (row, index[row, column]), weights[row, column])
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
                inner, total = np.column_stack(value), np.zeros((len(A), value[0].shape[1] + 1))
                for k in range(len(inner)):
                    total += A[:, k, None] * inner[k]
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
    names = {"inputs": f"{stem}.npy", "certificates": f"{stem}.parquet", "preimages": f"{stem}.parquet"}
    paths = {part: folder / part / name for part, name in names.items()}
    same = told == {part: sha256(path.read_bytes()).hexdigest() for part, path in paths.items()}
    require(same, "its files are not as they were written, or the audit is not complete")
    findings, stored = (parquet.read_table(paths[part]).to_pylist() for part in ("preimages", "certificates"))
    X, stored, proofs, systems, out = np.load(paths["inputs"]), {row["id"]: row["data"] for row in stored}, {}, {}, []
    layer = network.layer(network.layers[number])
    given = network.value(layer[-1])[samples.start : samples.stop]
    allowed = AGREEMENT * np.abs(given[np.isfinite(given)]).max(initial=0.0) * (layer[-1] >= 0)
    require(len(X) == len(given) and not (abs(X - given) > allowed).any(), "inputs are not what the network gives")
    asked = [(number, known, name, sample) for known, name, *_ in questions for sample in samples]
    found = [(row["layer"], row["precision"], row["domain"], row["sample"]) for row in findings]
    require(found == asked, "findings are missing, or not those of the samples")
    remaining = iter(findings)
    for precision, name, low, high, step in questions:
        given = cones(layer, np.where(np.isfinite(X), X, 0.0), low, high, precision, step)
        for x, tangent, recession, *counts, row in zip(X, *given, remaining, strict=False):
            try:
                if row["kind"] != "undecided":
                    require(((low <= x) & (x <= high) & np.isfinite(x)).all(), f"its input is not in {name}")
                    said = [row["positives"], row.get("saturated", counts[1])]
                    require(said == counts, f"of its outputs {counts[0]} are positive and {counts[1]} saturated")
                    data = stored[row["certificate"]]
                    require(sha256(data).hexdigest()[:32] == row["certificate"], "a certificate of another id")
                    if (key := (data, name)) not in proofs:
                        proofs[key] = Proof(data, layer[0], systems, (tangent[0, -len(x) :], recession[0, -len(x) :]))
                    proofs[key].check(tangent, recession, row)
                out.append("undecided" if row["kind"] == "undecided" else "")
            except Exception as error:
                out.append(f"sample {row['sample']}, {name}, {precision}: {type(error).__name__}: {error}")
    return out


def main(folder):
    text = (folder / "manifest.json").read_bytes()
    manifest, start, outcomes = json.loads(text), text.rfind(b"sealed by SHA-256 ") + 18, []
    seal = sha256(text[:start] + b"0" * 64 + text[start + 64 :]).hexdigest().encode()
    require(manifest["format"] == FORMAT, f"manifest.json is of {manifest['format']}, this script reads {FORMAT}")
    with np.load(folder / "data.npz") as archive:
        arrays = [archive[name] for name in ("x", "y") if name in archive.files]
    network = Network((folder / "model.safetensors").read_bytes(), arrays[0])
    digest = sha256(b"".join(f"{a.dtype.str} {a.shape} ".encode() + a.tobytes() for a in arrays)).hexdigest()
    told = [manifest["model_digest"], manifest["data_digest"], seal]
    same, judged = told == [network.digest, digest, text[start : start + 64]], manifest["network_layers"]
    starts = range(0, manifest["samples"], manifest["block"])
    for (k, number), (block, start) in product(enumerate(manifest["layers"]), enumerate(starts)):
        samples, questions = range(manifest["samples"])[start : start + manifest["block"]], questions_of(manifest, k)
        stem = f"layer-{number:02d}-block-{block:04d}"
        try:
            require(same, "the manifest, the network or the data are not as they were written")
            require(len(network.layers) == len(judged), "unjudged layers are beyond the reach of this script")
            reasons = check_chunk(folder, manifest["shards"].get(stem), network, number, questions, stem, samples)
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
        status = main(Path(sys.argv[1]))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        status = print(f"{type(error).__name__}: {error}", "proved 0 of 0", sep="\n") or 1
    sys.exit(status)
