"""Random JSON Schemas and instances, seeded: what the engine is compared with other judges on."""
import copy
import json
import random

KEYS = ["a", "b", "c", "name", "x-y", "é", ""]
PATTERNS = ["^a", "b$", "^[a-c]+$", "\\d{2,3}", "^(?!x)[\\s\\S]*$", "é", "^x-", "[^a]", "^$", "a|b",
            "^.{2}$", "^(?:ab?)*$"]
STRINGS = ["", "a", "ab", "abc", "x-1", "12", "é", "bb\n", "\"q\"", "😀", "2020-02-29", "a@b.cd"]
DRAFTS = {"2020-12": "https://json-schema.org/draft/2020-12/schema",
          "2019-09": "https://json-schema.org/draft/2019-09/schema",
          "7": "http://json-schema.org/draft-07/schema#",
          "4": "http://json-schema.org/draft-04/schema#"}
# Formats of other drafts are enforced here and annotations for the judges.
FORMATS = {"4": ["date-time", "ipv4", "email"],
           "7": ["date-time", "ipv4", "email", "date", "time"],
           "2019-09": ["date-time", "ipv4", "email", "date", "time", "uuid"],
           "2020-12": ["date-time", "ipv4", "email", "date", "time", "uuid"]}
NUMBERS = [0, 1, -1, 2, 3, 10, 1.5, -0.5, 1.0, 100, 1e3, 0.25, -7, 12345678901234567890]
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.draft, self.definitions, self.names, self.reachable = "2020-12", {}, [], 0

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

    def document(self):
        """A whole schema of some draft, with definitions that it refers to."""
        self.draft = self.random.choices(list(DRAFTS), [6, 1, 2, 1])[0]
        self.names = [f"d{i}" for i in range(self.random.choice([0, 0, 1, 2]))]
        for i, name in enumerate(self.names):
            self.reachable = i + 1  # in place a definition refers to later ones: no cycle is empty
            self.definitions[name] = self.schema(2)
        self.reachable = 0
        schema = self.schema()
        if not isinstance(schema, dict):
            return schema
        if self.draft != "2020-12":
            schema["$schema"] = DRAFTS[self.draft]
        if self.definitions:
            schema["$defs" if self.newest() else "definitions"] = self.definitions
        return schema

    def newest(self):
        return self.draft in ("2019-09", "2020-12")

    def below(self, depth):
        """The schema of a member or item, where every definition can be referred to."""
        reachable, self.reachable = self.reachable, 0
        schema = self.schema(depth)
        self.reachable = reachable
        return schema

    def boolean(self, value):
        return value if self.draft != "4" else {} if value else {"not": {}}

    def schema(self, depth=3):
        if depth == 0 or self.chance(0.06):
            return self.pick(self.boolean(True), self.boolean(True), self.boolean(False), {},
                             {"type": self.random.choice(TYPES)})
        schema = {}
        for _ in range(self.random.choice([1, 1, 2, 2, 3])):
            self.random.choice([self.of_type, self.of_values, self.of_string, self.of_number,
                                self.of_object, self.of_object, self.of_array, self.of_branches,
                                self.of_reference])(schema, depth - 1)
        return schema

    def of_type(self, schema, depth):
        schema["type"] = (self.random.choice(TYPES) if self.chance(0.7) else
                          self.random.sample(TYPES, 2))

    def of_values(self, schema, depth):
        if self.chance(0.4) and self.draft != "4":
            schema["const"] = self.value(1)
        else:
            values = [self.value(1) for _ in range(self.random.randrange(1, 5))]
            schema["enum"] = [value for i, value in enumerate(values) if value not in values[:i]]

    def of_string(self, schema, depth):
        for keyword in self.random.sample(["minLength", "maxLength", "pattern", "format"], 2):
            schema[keyword] = {"pattern": lambda: self.random.choice(PATTERNS),
                               "format": lambda: self.random.choice(FORMATS[self.draft])}.get(
                                   keyword, lambda: self.random.randrange(5))()

    def of_number(self, schema, depth):
        for keyword in self.random.sample(["minimum", "maximum", "exclusiveMinimum",
                                           "exclusiveMaximum", "multipleOf"], 2):
            if keyword == "multipleOf":
                schema[keyword] = self.pick(1, 2, 0.5, 3, 0.25, 10)
            elif keyword.startswith("exclusive") and self.draft == "4":
                schema[keyword] = self.chance(0.5)
                schema.setdefault(keyword[9:].lower(), self.random.choice(NUMBERS))
            else:
                schema[keyword] = self.random.choice(NUMBERS)

    def of_object(self, schema, depth):
        names = self.random.sample(KEYS, 3)
        keywords = ["properties", "properties", "required", "additionalProperties",
                    "patternProperties", "minProperties", "maxProperties"]
        keywords += ["dependentRequired", "dependentSchemas",
                     "unevaluatedProperties"] if self.newest() else ["dependencies"]
        keywords += ["propertyNames"] if self.draft != "4" else []
        for keyword in self.random.sample(keywords, 3):
            if keyword == "properties":
                schema[keyword] = {name: self.below(depth) for name in names[:2]}
            elif keyword == "dependentSchemas":
                schema[keyword] = {name: self.schema(depth) for name in names[:2]}
            elif keyword == "dependencies":
                schema[keyword] = {names[0]: [names[1]], names[1]: self.schema(depth)}
            elif keyword == "required":
                schema[keyword] = names[:self.random.randrange(self.draft == "4", 3)]
            elif keyword == "patternProperties":
                schema[keyword] = {pattern: self.below(depth) for pattern in
                                   self.random.sample(PATTERNS, self.pick(1, 1, 2))}
            elif keyword in ("minProperties", "maxProperties"):
                schema[keyword] = self.random.randrange(4)
            elif keyword == "dependentRequired":
                schema[keyword] = {names[0]: [names[1]]}
            elif keyword == "propertyNames":
                schema[keyword] = self.pick({"pattern": self.random.choice(PATTERNS)},
                                            {"maxLength": 2}, {"enum": names}, self.below(1))
            else:
                schema[keyword] = self.pick(False, self.below(depth))

    def of_array(self, schema, depth):
        keywords = ["items", "items", "prefixItems", "minItems", "maxItems", "uniqueItems"]
        keywords += ["contains"] if self.draft != "4" else []
        keywords += ["unevaluatedItems"] if self.draft == "2020-12" else []
        for keyword in self.random.sample(keywords, 2):
            if keyword == "prefixItems" and self.draft == "2020-12":
                schema[keyword] = self.prefix(depth)
            elif keyword == "prefixItems":
                schema["items"] = self.prefix(depth)
                schema["additionalItems"] = self.pick(False, self.below(depth))
            elif keyword in ("minItems", "maxItems"):
                schema[keyword] = self.random.randrange(4)
            elif keyword == "uniqueItems":
                schema[keyword] = True
            else:
                schema[keyword] = self.below(depth)
            if keyword == "contains" and self.chance(0.5) and self.newest():
                schema[self.pick("minContains", "maxContains")] = self.random.randrange(3)

    def prefix(self, depth):
        return [self.below(depth) for _ in range(self.random.randrange(1, 3))]

    def of_branches(self, schema, depth):
        keyword = self.pick("anyOf", "oneOf", "allOf", "not", "if")
        if keyword == "not":
            schema[keyword] = self.schema(depth)
        elif keyword == "if" and self.draft != "4":
            schema["if"] = self.schema(depth)
            schema["then"] = self.schema(depth)
            if self.chance(0.5):
                schema["else"] = self.schema(depth)
        elif keyword != "if":
            schema[keyword] = [self.schema(depth) for _ in range(self.random.randrange(1, 4))]

    def of_reference(self, schema, depth):
        names = self.names[self.reachable:]
        if names:
            place = "$defs" if self.newest() else "definitions"
            schema["$ref"] = f"#/{place}/{self.random.choice(names)}"
        elif self.names or self.reachable:
            self.of_object(schema, depth)

    def instance(self, schema, depth=4):
        """Often valid: follows the keywords that say what a value looks like."""
        if isinstance(schema, dict) and "$ref" in schema and self.chance(0.8):
            schema = self.definitions[schema["$ref"].split("/")[-1]]
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
        prefix, rest = schema.get("prefixItems", []), schema.get("items", schema.get("contains"))
        if isinstance(rest, list):
            prefix, rest = rest, schema.get("additionalItems")
        return [self.instance(prefix[i] if i < len(prefix) else rest, depth - 1)
                for i in range(self.random.randrange(4))]

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
