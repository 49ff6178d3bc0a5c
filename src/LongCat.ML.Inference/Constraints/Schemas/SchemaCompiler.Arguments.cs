using System.Text.Json;
using LongCat.ML.Inference.Constraints.Terms;

namespace LongCat.ML.Inference.Constraints.Schemas;

/// <summary>An argument of a tool as its schema has it.</summary>
/// <param name="Name">The argument's name.</param>
/// <param name="Json">Its values as JSON.</param>
/// <param name="Text">Its values as plain text where they are strings (or <c>null</c>) that the schema says more of; null where any text will do, and where values are no strings.</param>
/// <param name="IsText">Whether its values are strings.</param>
/// <param name="IsRequired">Whether a call must have it.</param>
internal sealed record ArgumentTerms(string Name, Term Json, Term? Text, bool IsText, bool IsRequired);

internal sealed partial class SchemaCompiler
{
    /// <summary>The arguments of a tool whose schema is that of an object, one by one and in their order.</summary>
    /// <exception cref="InferenceException">The schema is malformed, uses what is not supported, or is not that of an object with declared properties.</exception>
    public static IReadOnlyList<ArgumentTerms> Arguments(TermPool pool, JsonElement schema)
    {
        // What the whole schema is refused for, its parts are refused for.
        Compile(pool, schema);
        SchemaCompiler compiler = new(pool, schema);
        SchemaNode root = compiler._root;
        if (schema.ValueKind != JsonValueKind.Object)
        {
            return [];
        }

        foreach (JsonProperty keyword in schema.EnumerateObject())
        {
            if (keyword.Name is not ("type" or "properties" or "required" or "additionalProperties") && !s_annotations.Contains(keyword.Name))
            {
                throw root.Error($"'{keyword.Name}' is not supported where calls are written as pairs of names and values, as this model's are; declare 'properties'");
            }
        }

        string[] required = root.TryGet("required", out SchemaNode names) ? [.. names.Items("a list of names").Select(name => name.Text("a name"))] : [];
        List<ArgumentTerms> arguments = [];
        foreach ((string name, SchemaNode node) in root.Members("properties"))
        {
            IReadOnlyList<string> types = node.Element.ValueKind == JsonValueKind.Object && node.TryGet("type", out _) ? Types(node) : [];
            bool isText = types.Contains("string") && types.All(type => type is "string" or "null");
            Term? text = isText ? PlainText(pool, node) : null;
            arguments.Add(new ArgumentTerms(
                name, compiler.Value(node, Deepest - 1), text is not null && types.Contains("null") ? pool.Choice(text, pool.Literal("null")) : text, isText, required.Contains(name)));
        }

        return required.FirstOrDefault(name => arguments.All(argument => argument.Name != name)) is { } missing
            ? throw root.Error($"'{missing}' is required and not declared in 'properties'")
            : arguments;
    }

    /// <summary>The texts of a string as they are, where its schema says more of them than that they are strings.</summary>
    private static Term? PlainText(TermPool pool, SchemaNode node)
    {
        TextTerms text = TextTerms.Plain(pool);
        if (node.TryGet("enum", out SchemaNode list))
        {
            return pool.Choice(list.Items("a list of values").Where(item => item.Element.ValueKind == JsonValueKind.String).Select(item => text.Of(item.Element.GetString()!)).ToArray());
        }

        if (node.TryGet("const", out SchemaNode constant))
        {
            return text.Of(constant.Text("a string"));
        }

        return new[] { "minLength", "maxLength", "pattern", "format" }.Any(key => node.TryGet(key, out _)) ? Text(node, text) : null;
    }
}
