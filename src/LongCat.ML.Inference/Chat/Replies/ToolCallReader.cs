using System.Text;
using System.Text.Json;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.Chat.Replies;

/// <summary>Reads calls of tools out of what stands between the marks. What cannot be read is null: the caller then shows it as text, so that nothing a model wrote is lost.</summary>
internal sealed class ToolCallReader(IReadOnlyDictionary<string, JsonElement> schemas)
{
    private const string OpenKey = "<longcat_arg_key>", CloseKey = "</longcat_arg_key>", OpenValue = "<longcat_arg_value>", CloseValue = "</longcat_arg_value>";

    private static readonly JsonReaderOptions s_json = new() { AllowMultipleValues = true, MaxDepth = 64 };

    /// <summary>One JSON object, or (LongCat's newer form) a name and pairs of keys and values.</summary>
    public List<FunctionCallContent>? ReadTagged(string body, bool pairs) => pairs && !body.AsSpan().TrimStart().StartsWith("{") ? ReadPairs(body) : ReadValues(body);

    /// <summary>JSON values one after another, with semicolons between them or not, each a call or an array of calls.</summary>
    public List<FunctionCallContent>? ReadValues(string text)
    {
        List<FunctionCallContent> calls = [];
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        int start = 0;
        try
        {
            while (true)
            {
                while (start < bytes.Length && bytes[start] is (byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t' or (byte)';')
                {
                    start++;
                }

                if (start == bytes.Length)
                {
                    return calls.Count > 0 ? calls : null;
                }

                Utf8JsonReader reader = new(bytes.AsSpan(start), s_json);
                using JsonDocument document = JsonDocument.ParseValue(ref reader);
                start += (int)reader.BytesConsumed;
                bool read = document.RootElement.ValueKind == JsonValueKind.Array
                    ? document.RootElement.EnumerateArray().All(item => Add(item, calls))
                    : Add(document.RootElement, calls);
                if (!read)
                {
                    return null;
                }
            }
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: an escaped half of a surrogate pair, which is JSON and no text.
            return null;
        }
    }

    /// <summary>Mistral's forms: an array of calls, or a name (perhaps <c>[CALL_ID]</c> and an id), <c>[ARGS]</c> and an object, several with the mark between them.</summary>
    public List<FunctionCallContent>? ReadMistral(string text)
    {
        const string Mark = "[TOOL_CALLS]", Arguments = "[ARGS]", Id = "[CALL_ID]";
        if (!text.Contains(Arguments, StringComparison.Ordinal))
        {
            return ReadValues(text.Replace(Mark, ";", StringComparison.Ordinal));
        }

        List<FunctionCallContent> calls = [];
        foreach (string call in text.Split(Mark))
        {
            int split = call.IndexOf(Arguments, StringComparison.Ordinal);
            string head = split < 0 ? "" : call[..split];
            int id = head.IndexOf(Id, StringComparison.Ordinal);
            string name = (id < 0 ? head : head[..id]).Trim();
            if (name.Length == 0 || Parse(call[(split + Arguments.Length)..]) is not { ValueKind: JsonValueKind.Object } arguments)
            {
                return null;
            }

            calls.Add(Call(name, arguments, id < 0 ? null : head[(id + Id.Length)..].Trim()));
        }

        return calls;
    }

    /// <summary>Whether a text breaks off inside a JSON string: then a mark that follows belongs to the string.</summary>
    public static bool EndsInString(string text)
    {
        bool inside = false;
        for (int i = 0; i < text.Length; i++)
        {
            if (inside && text[i] == '\\')
            {
                i++;
            }
            else if (text[i] == '"')
            {
                inside = !inside;
            }
        }

        return inside;
    }

    private static bool Add(JsonElement value, List<FunctionCallContent> calls)
    {
        if (value.ValueKind != JsonValueKind.Object || !value.TryGetProperty("name", out JsonElement name) || name.ValueKind != JsonValueKind.String)
        {
            return false;
        }

        // LongCat and Qwen say arguments, Llama parameters; no arguments at all is a call without any.
        if (!value.TryGetProperty("arguments", out JsonElement arguments) && !value.TryGetProperty("parameters", out arguments))
        {
            calls.Add(Call(name.GetString()!, default, Id(value)));
            return true;
        }

        // Some models write the arguments as a string of JSON, as servers do.
        JsonElement? read = arguments.ValueKind == JsonValueKind.String ? Parse(arguments.GetString()!) : arguments;
        if (read is not { ValueKind: JsonValueKind.Object or JsonValueKind.Null } found)
        {
            return false;
        }

        calls.Add(Call(name.GetString()!, found, Id(value)));
        return true;
    }

    private static string? Id(JsonElement call) => call.TryGetProperty("id", out JsonElement id) && id.ValueKind == JsonValueKind.String ? id.GetString() : null;

    private List<FunctionCallContent>? ReadPairs(string body)
    {
        int end = body.IndexOf(OpenKey, StringComparison.Ordinal);
        string name = (end < 0 ? body : body[..end]).Trim();
        if (name.Length == 0 || name.Contains('\n') || name.Contains('<'))
        {
            return null;
        }

        schemas.TryGetValue(name, out JsonElement schema);
        Dictionary<string, object?> arguments = new(StringComparer.Ordinal);
        int position = Math.Max(end, 0);
        while (end >= 0 && body.AsSpan(position).Trim().Length > 0)
        {
            if (Take(body, OpenKey, CloseKey, ref position) is not { } key || Take(body, OpenValue, CloseValue, ref position) is not { } value)
            {
                return null;
            }

            arguments[key.Trim()] = Value(value, ArgumentSchema.Of(schema, key.Trim()));
        }

        return [new FunctionCallContent(NewId(), name, arguments)];
    }

    /// <summary>What stands between two marks; only white space may stand before the first.</summary>
    private static string? Take(string body, string open, string close, ref int position)
    {
        int start = body.IndexOf(open, position, StringComparison.Ordinal);
        if (start < 0 || body.AsSpan(position, start - position).Trim().Length > 0)
        {
            return null;
        }

        start += open.Length;
        int end = body.IndexOf(close, start, StringComparison.Ordinal);
        if (end < 0)
        {
            return null;
        }

        position = end + close.Length;
        return body[start..end];
    }

    /// <summary>A value as the tool's schema reads it: text as it stands, anything else as JSON, then as Python writes it, then as text after all.</summary>
    private static object? Value(string text, ArgumentSchema schema)
    {
        string trimmed = text.Trim();
        bool none = trimmed is "null" or "None";
        if (schema == ArgumentSchema.Text || (schema == ArgumentSchema.TextOrNull && !none))
        {
            return JsonSerializer.SerializeToElement(text);
        }

        return none ? null : trimmed switch
        {
            "True" => JsonSerializer.SerializeToElement(true),
            "False" => JsonSerializer.SerializeToElement(false),
            _ => Parse(trimmed) ?? JsonSerializer.SerializeToElement(text),
        };
    }

    private static JsonElement? Parse(string json)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static FunctionCallContent Call(string name, JsonElement arguments, string? id)
    {
        Dictionary<string, object?> values = new(StringComparer.Ordinal);
        if (arguments.ValueKind == JsonValueKind.Object)
        {
            foreach (JsonProperty argument in arguments.EnumerateObject())
            {
                values[argument.Name] = argument.Value.ValueKind == JsonValueKind.Null ? null : argument.Value.Clone();
            }
        }

        return new FunctionCallContent(string.IsNullOrEmpty(id) ? NewId() : id, name, values);
    }

    /// <summary>Nine letters and digits: Mistral's templates refuse anything else.</summary>
    private static string NewId() => Guid.NewGuid().ToString("N")[..9];
}
