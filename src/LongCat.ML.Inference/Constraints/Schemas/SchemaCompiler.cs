using System.Runtime.CompilerServices;
using System.Text.Json;
using LongCat.ML.Inference.Constraints.Terms;

namespace LongCat.ML.Inference.Constraints.Schemas;

/// <summary>
/// Makes a term of a JSON schema (draft 2020-12, the part that <see cref="Keywords"/> lists). The term holds only values that the schema accepts, not all of them: declared properties
/// come in their order, white space and numbers are those of <see cref="JsonTerms"/>, and nothing nests deeper than <see cref="Deepest"/>. A keyword that is not
/// supported is an error, since a constraint that leaves it out would promise what it does not keep.
/// </summary>
internal sealed partial class SchemaCompiler
{
    /// <summary>How deep objects and arrays nest.</summary>
    public const int Deepest = 24;

    /// <summary>Properties of one object: where all are optional, each state knows all that follow.</summary>
    private const int MostProperties = 1000;

    private const int LargestSchema = 1 << 16;

    private static readonly HashSet<string> s_annotations =
    [
        "$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly",
    ];

    private static readonly HashSet<string> Keywords =
    [
        "type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "properties", "required", "additionalProperties", "items", "prefixItems", "minItems", "maxItems",
        "minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    ];

    private static readonly string[] s_types = ["object", "array", "string", "number", "integer", "boolean", "null"];

    private readonly JsonTerms _json;
    private readonly SchemaNode _root;
    private readonly Dictionary<(string, int), Term?> _compiled = [];
    private readonly Dictionary<int, Term> _any = [];

    private SchemaCompiler(TermPool pool, JsonElement root)
    {
        _json = new JsonTerms(pool);
        _root = new SchemaNode(root, "#");
    }

    private TermPool Pool => _json.Pool;

    /// <summary>Any JSON object.</summary>
    public static Term AnyObject(TermPool pool)
    {
        SchemaCompiler compiler = new(pool, default);
        return compiler.Container(Deepest, compiler.FreeObject);
    }

    /// <summary>The values of a schema.</summary>
    /// <exception cref="InferenceException">The schema is malformed, uses what is not supported, or accepts nothing that can be written.</exception>
    public static Term Compile(TermPool pool, JsonElement schema)
    {
        SchemaCompiler compiler = new(pool, schema);
        if (schema.ValueKind == JsonValueKind.Undefined)
        {
            throw compiler._root.Error("expected a schema (an object, true or false), got nothing");
        }

        if (schema.GetRawText().Length > LargestSchema)
        {
            throw compiler._root.Error($"the schema has {schema.GetRawText().Length} characters; at most {LargestSchema} are expected");
        }

        Term term;
        try
        {
            term = compiler.Value(compiler._root, Deepest);
        }
        catch (Exception error) when (error is InvalidOperationException or JsonException)
        {
            // A name or text with half of a surrogate pair: JSON's grammar allows it, Unicode does not.
            throw new InferenceException($"the JSON schema holds a string that is no valid Unicode: {error.Message}", error);
        }
        catch (InsufficientExecutionStackException error)
        {
            throw new InferenceException("the JSON schema is nested too deeply, or its references form too long a chain. Write it flatter.", error);
        }

        return term is FailTerm ? throw compiler._root.Error($"no value satisfies the schema (within {Deepest} levels of nesting)") : term;
    }

    /// <summary>The values of a part of the schema, for so many more levels of nesting.</summary>
    private Term Value(SchemaNode node, int depth)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        if (_compiled.TryGetValue((node.Pointer, depth), out Term? known))
        {
            return known ?? throw node.Error("the schema refers to itself without an object or a list between");
        }

        _compiled[(node.Pointer, depth)] = null;
        Term term = node.Element.ValueKind switch
        {
            JsonValueKind.True => Any(depth),
            JsonValueKind.False => Pool.Fail,
            JsonValueKind.Object => Keyed(node, depth),
            _ => throw node.Error($"expected a schema (an object, true or false), got {node.Element.ValueKind}"),
        };
        return _compiled[(node.Pointer, depth)] = term;
    }

    private Term Keyed(SchemaNode node, int depth)
    {
        string[] used = [.. node.Element.EnumerateObject().Select(member => member.Name).Where(name => !s_annotations.Contains(name))];
        foreach (string name in used)
        {
            if (!Keywords.Contains(name))
            {
                throw node.Error($"the keyword '{name}' is not supported; supported are {string.Join(", ", Keywords)}");
            }
        }

        foreach (string name in new[] { "$ref", "anyOf", "oneOf", "allOf" })
        {
            if (!node.TryGet(name, out SchemaNode inner))
            {
                continue;
            }

            if (used.Length > 1)
            {
                throw node.Error($"'{name}' beside {string.Join(", ", used.Where(other => other != name).Select(other => $"'{other}'"))} is not supported; write one schema, or put the other keywords into the parts");
            }

            return name switch
            {
                "$ref" => Value(Resolve(inner), depth),
                "allOf" => Value(Only(inner), depth),
                _ => Pool.Choice(Parts(inner, exclusive: name == "oneOf").Select(part => Value(part, depth)).ToArray()),
            };
        }

        IReadOnlyList<string> types = Types(node);
        if (node.TryGet("enum", out SchemaNode list) || node.TryGet("const", out _))
        {
            return Constants(node, list.Element.ValueKind == JsonValueKind.Undefined ? null : list, types, used);
        }

        return Pool.Choice(types.Select(type => type switch
        {
            "object" => Container(depth, inner => Object(node, inner)),
            "array" => Container(depth, inner => Array(node, inner)),
            "string" => Pool.Sequence(_json.Quote, Text(node, _json.Text), _json.Quote),
            "integer" => Integer(node),
            "number" => Number(node),
            "boolean" => _json.Boolean,
            _ => _json.Null,
        }).ToArray());
    }

    /// <summary>Where <c>type</c> is missing it is that of the keywords; without any, anything goes.</summary>
    private static IReadOnlyList<string> Types(SchemaNode node)
    {
        if (!node.TryGet("type", out SchemaNode type))
        {
            return Has("properties", "required", "additionalProperties") ? ["object"]
                : Has("items", "prefixItems", "minItems", "maxItems") ? ["array"]
                : Has("minLength", "maxLength", "pattern", "format") ? ["string"]
                : Has("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf") ? ["number"]
                : s_types;
        }

        string[] types = [.. type.Element.ValueKind == JsonValueKind.Array ? type.Items("a list of types").Select(item => item.Text("a type")) : [type.Text("a type or a list of types")]];
        foreach (string name in types)
        {
            if (!s_types.Contains(name))
            {
                throw type.Error($"expected {string.Join(", ", s_types)}, got '{name}'");
            }
        }

        return types;

        bool Has(params string[] keys) => keys.Any(key => node.Element.TryGetProperty(key, out _));
    }

    private Term Constants(SchemaNode node, SchemaNode? list, IReadOnlyList<string> types, string[] used)
    {
        if (used.FirstOrDefault(name => name is not ("enum" or "const" or "type")) is { } other)
        {
            throw node.Error($"'{other}' beside 'enum' or 'const' is not supported; list the values that satisfy both");
        }

        JsonElement[] values = list is { } found ? [.. found.Items("a list of values").Select(item => item.Element)] : [node.Element.GetProperty("const")];
        if (list is not null && node.TryGet("const", out SchemaNode constant))
        {
            values = [.. values.Where(value => JsonElement.DeepEquals(value, constant.Element))];
        }

        return Pool.Choice(values.Where(value => types.Any(type => IsOf(value, type))).Select(_json.Constant).ToArray());
    }

    private static bool IsOf(JsonElement value, string type) => value.ValueKind switch
    {
        JsonValueKind.Object => type == "object",
        JsonValueKind.Array => type == "array",
        JsonValueKind.String => type == "string",
        JsonValueKind.Number => type == "number" || (type == "integer" && value.TryGetDouble(out double number) && number == Math.Floor(number)),
        JsonValueKind.True or JsonValueKind.False => type == "boolean",
        _ => type == "null",
    };

    private SchemaNode Resolve(SchemaNode reference)
    {
        string pointer = reference.Text("a reference");
        if (pointer != "#" && !pointer.StartsWith("#/", StringComparison.Ordinal))
        {
            throw reference.Error($"'{pointer}' is not supported; a place in the same schema is expected, such as '#/$defs/name'");
        }

        SchemaNode node = _root;
        foreach (string part in pointer.Split('/').Skip(1))
        {
            string key = Uri.UnescapeDataString(part).Replace("~1", "/").Replace("~0", "~");
            JsonElement child = default;
            bool found = node.Element.ValueKind switch
            {
                JsonValueKind.Object => node.Element.TryGetProperty(key, out child),
                JsonValueKind.Array => int.TryParse(key, out int index) && index >= 0 && index < node.Element.GetArrayLength() && (child = node.Element[index]).ValueKind != JsonValueKind.Undefined,
                _ => false,
            };
            node = found ? new SchemaNode(child, $"{node.Pointer}/{part}") : throw reference.Error($"'{pointer}' names nothing");
        }

        return node;
    }

    private static SchemaNode Only(SchemaNode list)
    {
        SchemaNode[] parts = [.. list.Items("a list of schemas")];
        return parts.Length == 1 ? parts[0] : throw list.Error($"'allOf' of {parts.Length} schemas is not supported; write one schema");
    }

    /// <summary>The alternatives; exclusive ones must differ in their types, since only then is it certain that a value satisfies just one.</summary>
    private SchemaNode[] Parts(SchemaNode list, bool exclusive)
    {
        SchemaNode[] parts = [.. list.Items("a list of schemas")];
        if (exclusive)
        {
            HashSet<string> seen = [];
            foreach (SchemaNode part in parts)
            {
                SchemaNode found = part;
                for (int hops = 0; hops < 16 && found.Element.ValueKind == JsonValueKind.Object && found.TryGet("$ref", out SchemaNode reference); hops++)
                {
                    found = Resolve(reference);
                }

                bool typed = found.Element.ValueKind == JsonValueKind.Object && found.TryGet("type", out _);
                if (!typed || Types(found).Select(type => type == "integer" ? "number" : type).Distinct().Any(type => !seen.Add(type)))
                {
                    throw list.Error("'oneOf' is supported where each schema has a 'type' that no other has; use 'anyOf'");
                }
            }
        }

        return parts;
    }
}
