"""Random JSON Schemas and instances, seeded: what the engine is compared with other judges on."""
import copy
import json
import random

KEYS = ["a", "b", "c", "name", "x-y", "é", ""]
PATTERNS = ["^a", "b$", "^[a-c]+$", "\\d{2,3}", "^(?!x)[\\s\\S]*$", "é", "^x-", "[^a]"]
STRINGS = ["", "a", "ab", "abc", "x-1", "12", "é", "bb\n", "\"q\"", "😀", "2020-02-29", "a@b.cd"]
FORMATS = ["date", "ipv4", "uuid", "date-time", "json-pointer", "time"]
NUMBERS = [0, 1, -1, 2, 3, 10, 1.5, -0.5, 1.0, 100, 1e3, 0.25, -7, 12345678901234567890]
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, *choices):
        return self.random.choice(choices)

    def chance(self, share):
        return self.random.random() < share

    def value(self, depth=2):
        kind = self.random.randrange(7 if depth else 5)
        if kind == 0:
            return self.pick(None, True, False)
        if kind in (1, 2):
            return self.random.choice(NUMBERS)
        if kind in (3, 4):
            return self.random.choice(STRINGS)
        if kind == 5:
            return [self.value(depth - 1) for _ in range(self.random.randrange(4))]
        keys = self.random.sample(KEYS, self.random.randrange(4))
        return {key: self.value(depth - 1) for key in keys}

    def schema(self, depth=3):
        """A schema of the newest draft."""
        if depth == 0 or self.chance(0.06):
            return self.pick(True, True, False, {}, {"type": self.random.choice(TYPES)})
        schema = {}
        for _ in range(self.random.choice([1, 1, 2, 2, 3])):
            self.random.choice([self.of_type, self.of_values, self.of_string, self.of_number,
                                self.of_object, self.of_object, self.of_array,
                                self.of_branches])(schema, depth - 1)
        return schema

    def of_type(self, schema, depth):
        schema["type"] = (self.random.choice(TYPES) if self.chance(0.7) else
                          self.random.sample(TYPES, 2))

    def of_values(self, schema, depth):
        if self.chance(0.4):
            schema["const"] = self.value(1)
        else:
            schema["enum"] = [self.value(1) for _ in range(self.random.randrange(1, 5))]

    def of_string(self, schema, depth):
        for keyword in self.random.sample(["minLength", "maxLength", "pattern", "format"], 2):
            schema[keyword] = {"pattern": lambda: self.random.choice(PATTERNS),
                               "format": lambda: self.random.choice(FORMATS)}.get(
                                   keyword, lambda: self.random.randrange(5))()

    def of_number(self, schema, depth):
        for keyword in self.random.sample(["minimum", "maximum", "exclusiveMinimum",
                                           "exclusiveMaximum", "multipleOf"], 2):
            schema[keyword] = (self.pick(1, 2, 0.5, 3, 0.25, 10) if keyword == "multipleOf" else
                               self.random.choice(NUMBERS))

    def of_object(self, schema, depth):
        names = self.random.sample(KEYS, 3)
        for keyword in self.random.sample(
                ["properties", "properties", "required", "additionalProperties",
                 "patternProperties", "propertyNames", "minProperties", "maxProperties",
                 "dependentRequired", "dependentSchemas", "unevaluatedProperties"], 3):
            if keyword in ("properties", "dependentSchemas"):
                schema[keyword] = {name: self.schema(depth) for name in names[:2]}
            elif keyword == "required":
                schema[keyword] = names[:self.random.randrange(3)]
            elif keyword == "patternProperties":
                schema[keyword] = {self.random.choice(PATTERNS): self.schema(depth)}
            elif keyword in ("minProperties", "maxProperties"):
                schema[keyword] = self.random.randrange(4)
            elif keyword == "dependentRequired":
                schema[keyword] = {names[0]: [names[1]]}
            elif keyword == "propertyNames":
                schema[keyword] = self.pick({"pattern": self.random.choice(PATTERNS)},
                                            {"maxLength": 2}, {"enum": names})
            else:
                schema[keyword] = self.pick(False, self.schema(depth))

    def of_array(self, schema, depth):
        for keyword in self.random.sample(
                ["items", "items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains",
                 "unevaluatedItems"], 2):
            if keyword == "prefixItems":
                schema[keyword] = [self.schema(depth) for _ in range(self.random.randrange(1, 3))]
            elif keyword in ("minItems", "maxItems"):
                schema[keyword] = self.random.randrange(4)
            elif keyword == "uniqueItems":
                schema[keyword] = True
            else:
                schema[keyword] = self.schema(depth)
            if keyword == "contains" and self.chance(0.5):
                schema[self.pick("minContains", "maxContains")] = self.random.randrange(3)

    def of_branches(self, schema, depth):
        keyword = self.pick("anyOf", "oneOf", "allOf", "not", "if")
        if keyword == "not":
            schema[keyword] = self.schema(depth)
        elif keyword == "if":
            schema["if"] = self.schema(depth)
            schema["then"] = self.schema(depth)
            if self.chance(0.5):
                schema["else"] = self.schema(depth)
        else:
            schema[keyword] = [self.schema(depth) for _ in range(self.random.randrange(1, 4))]

    def instance(self, schema, depth=4):
        """Often valid: follows the keywords that say what a value looks like."""
        if not isinstance(schema, dict) or depth == 0 or self.chance(0.1):
            return self.value(1)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self.random.choice(schema["enum"])
        for keyword in ("anyOf", "oneOf", "allOf"):
            if schema.get(keyword) and self.chance(0.5):
                return self.instance(self.random.choice(schema[keyword]), depth - 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = self.random.choice(kind)
        if not kind:
            if {"properties", "required", "patternProperties", "minProperties"} & set(schema):
                kind = "object"
            elif {"items", "prefixItems", "contains", "minItems"} & set(schema):
                kind = "array"
            elif {"pattern", "minLength", "format", "maxLength"} & set(schema):
                kind = "string"
            elif {"minimum", "maximum", "multipleOf"} & set(schema):
                kind = "number"
        if kind == "object":
            return self.object_of(schema, depth)
        if kind == "array":
            return self.array_of(schema, depth)
        if kind == "string":
            return self.pick(self.random.choice(STRINGS), "".join(
                self.random.choice("abx1é") for _ in range(self.random.randrange(5))))
        if kind in ("number", "integer"):
            return self.pick(self.random.choice(NUMBERS), self.random.randrange(-3, 12),
                             schema.get("minimum", 1), schema.get("maximum", 2))
        return {"null": None, "boolean": self.chance(0.5)}.get(kind, self.value(1))

    def object_of(self, schema, depth):
        keys = set(schema.get("required", [])) | {key for key in schema.get("properties", {})
                                                  if self.chance(0.5)}
        keys |= {key for key in KEYS if self.chance(0.15)}
        keys = sorted(keys)
        self.random.shuffle(keys)
        return {key: self.instance(schema.get("properties", {}).get(
            key, next(iter(schema.get("patternProperties", {}).values()), True)), depth - 1)
            for key in keys}

    def array_of(self, schema, depth):
        prefix = schema.get("prefixItems", [])
        count = self.random.randrange(4)
        return [self.instance(prefix[i] if i < len(prefix) else
                              schema.get("items", schema.get("contains", True)), depth - 1)
                for i in range(count)]

    def mutate(self, value):
        """Changes one place."""
        value = copy.deepcopy(value)
        if isinstance(value, list) and value and self.chance(0.7):
            at = self.random.randrange(len(value))
            if self.chance(0.3):
                value.append(value[at])
            elif self.chance(0.3):
                del value[at]
            else:
                value[at] = self.mutate(value[at])
            return value
        if isinstance(value, dict) and value and self.chance(0.7):
            key = self.random.choice(sorted(value))
            if self.chance(0.3):
                del value[key]
            elif self.chance(0.3):
                value[self.random.choice(KEYS)] = self.value(1)
            else:
                value[key] = self.mutate(value[key])
            return value
        return self.value(1)


def text_of(value):
    return json.dumps(value, ensure_ascii=False)


def smaller(value):
    """Values that are one step simpler: for shrinking."""
    if isinstance(value, dict):
        for key in value:
            yield {k: v for k, v in value.items() if k != key}
        for key, member in value.items():
            for less in smaller(member):
                yield {**value, key: less}
    elif isinstance(value, list):
        for i in range(len(value)):
            yield value[:i] + value[i + 1:]
        for i, item in enumerate(value):
            for less in smaller(item):
                yield value[:i] + [less] + value[i + 1:]
    elif isinstance(value, str) and value:
        yield ""
        yield value[:-1]
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and value not in (0, 1):
        yield 0
        yield 1


def shrink(pair, fails):
    """The smallest (schema, instance) found on which `fails` still holds."""
    for _ in range(200):
        schema, instance = pair
        candidates = [(less, instance) for less in smaller(schema)]
        candidates += [(schema, less) for less in smaller(instance)]
        for candidate in candidates:
            try:
                if fails(candidate):
                    pair = candidate
                    break
            except Exception:  # a judge refuses the smaller schema: not a candidate
                continue
        else:
            return pair
    return pair
