using System.Text.Json.Nodes;

namespace LongCat.ML.Inference.Tests.Constraints;

/// <summary>Random schemas of the supported part, with bounds such that random texts end.</summary>
internal sealed class RandomSchema(Random random)
{
    private static readonly string[] s_names = ["a", "ab", "name", "größe", "x y", "\"q\"", "日本", "b\\c", ""];

    private static readonly string[] s_patterns =
    [
        "^[A-Z]{2}-\\d{1,4}$", "^(?:red|green|bl(?:ue|ack))$", "^\\w+@\\w+\\.(com|org)$", "^$|^-?(0|[1-9][0-9]*)$", "ab", "^x", "é$", "^[^\"\\\\]{0,3}\"\\\\?$", "^(a?b*)*c{2,}$", "^[а-я\\u00df-\\u00ff]+$",
    ];

    public JsonObject Next()
    {
        JsonObject schema = Value(3);
        schema["$defs"] = new JsonObject
        {
            ["leaf"] = Value(0),
            ["tree"] = new JsonObject
            {
                ["type"] = "object",
                ["properties"] = new JsonObject { ["v"] = Reference("leaf"), ["next"] = new JsonObject { ["anyOf"] = new JsonArray(new JsonObject { ["type"] = "null" }, Reference("tree")) } },
                ["required"] = new JsonArray("v"),
                ["additionalProperties"] = false,
            },
        };
        return schema;
    }

    private static JsonObject Reference(string name) => new() { ["$ref"] = "#/$defs/" + name };

    private JsonObject Value(int depth) => random.Next(depth > 0 ? 15 : 8) switch
    {
        0 => new JsonObject { ["type"] = random.Next(2) == 0 ? "boolean" : "null", ["description"] = "d" },
        1 => Integer(),
        2 => Number(),
        3 or 4 => Text(),
        5 => new JsonObject { ["enum"] = new JsonArray("one", "zwei \"2\"", 3, null, new JsonObject { ["k"] = new JsonArray(1.5, true) }) },
        6 => new JsonObject { ["const"] = s_names[random.Next(s_names.Length)] },
        7 => new JsonObject { ["type"] = new JsonArray("string", "null", "integer"), ["maxLength"] = 5, ["minimum"] = -3, ["maximum"] = 4 },
        8 => new JsonObject { ["anyOf"] = new JsonArray(Value(depth - 1), Value(depth - 1), Value(0)) },
        9 => Reference(random.Next(2) == 0 ? "tree" : "leaf"),
        10 => new JsonObject { ["oneOf"] = new JsonArray(Integer(), Text(), Object(depth - 1)) },
        11 or 12 => List(depth - 1),
        _ => Object(depth - 1),
    };

    private JsonObject Integer()
    {
        JsonObject schema = new() { ["type"] = "integer" };
        long least = random.NextInt64(-2000, 2000) * (random.Next(3) == 0 ? 1_000_000_007 : 1);
        if (random.Next(3) > 0)
        {
            schema[random.Next(2) == 0 ? "minimum" : "exclusiveMinimum"] = random.Next(2) == 0 ? least : least + 0.5;
        }

        if (random.Next(3) > 0)
        {
            schema[random.Next(2) == 0 ? "maximum" : "exclusiveMaximum"] = least + random.Next(2, 500);
        }

        if (random.Next(4) == 0)
        {
            schema["multipleOf"] = random.Next(1, 60);
        }

        return schema;
    }

    private JsonObject Number()
    {
        JsonObject schema = new() { ["type"] = "number" };
        decimal least = Math.Round((decimal)((random.NextDouble() - 0.5) * Math.Pow(10, random.Next(-3, 8))), random.Next(8));
        if (random.Next(2) == 0)
        {
            schema[random.Next(2) == 0 ? "minimum" : "exclusiveMinimum"] = least;
        }

        if (random.Next(2) == 0)
        {
            schema[random.Next(2) == 0 ? "maximum" : "exclusiveMaximum"] = least + Math.Round((decimal)(random.NextDouble() * Math.Pow(10, random.Next(-2, 6))), random.Next(8));
        }

        if (random.Next(4) == 0)
        {
            schema["multipleOf"] = random.Next(3) switch { 0 => random.Next(1, 9), 1 => random.Next(1, 400) / 1000m, _ => (decimal)Math.Pow(10, -random.Next(1, 5)) };
        }

        return schema;
    }

    private JsonObject Text()
    {
        JsonObject schema = new() { ["type"] = "string" };
        if (random.Next(4) == 0)
        {
            schema["format"] = new[] { "date", "time", "date-time", "uuid" }[random.Next(4)];
            return schema;
        }

        if (random.Next(4) == 0)
        {
            schema["pattern"] = s_patterns[random.Next(s_patterns.Length)];
            if (random.Next(2) == 0)
            {
                schema["minLength"] = random.Next(4);
                schema["maxLength"] = random.Next(5, 12);
            }

            return schema;
        }

        int least = random.Next(4);
        schema["minLength"] = least;
        schema["maxLength"] = least + random.Next(12);
        return schema;
    }

    private JsonObject List(int depth)
    {
        JsonObject schema = new() { ["type"] = "array", ["items"] = Value(depth) };
        int least = random.Next(3);
        schema["minItems"] = least;
        schema["maxItems"] = least + random.Next(4);
        if (random.Next(3) == 0)
        {
            schema["prefixItems"] = new JsonArray(Value(depth), Value(0));
            schema["maxItems"] = least + 2;
        }

        return schema;
    }

    private JsonObject Object(int depth)
    {
        JsonObject properties = [];
        JsonArray required = [];
        foreach (string name in s_names.Where(_ => random.Next(3) == 0))
        {
            properties[name] = Value(depth);
            if (random.Next(2) == 0)
            {
                required.Add(name);
            }
        }

        JsonObject schema = new() { ["type"] = "object", ["properties"] = properties, ["required"] = required };
        if (random.Next(2) == 0)
        {
            schema["additionalProperties"] = random.Next(2) == 0 ? JsonValue.Create(false) : Text();
        }
        else if (properties.Count == 0)
        {
            schema["additionalProperties"] = false;
        }

        return schema;
    }
}
