using System.Text;
using System.Text.Json;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Training.FineTuning;

/// <summary>Reads examples from a file of JSON objects, one a line; blank lines are no rows.</summary>
public static class ExampleFile
{
    /// <summary>What stands in the place of bytes that are no UTF-8: a code point that no text may hold, so that U+FFFD stays an ordinary character.</summary>
    private const string NotUtf8 = "\uFFFF";

    private static readonly Encoding s_utf8 = Encoding.GetEncoding("utf-8", EncoderFallback.ReplacementFallback, new DecoderReplacementFallback(NotUtf8));

    /// <summary>Reads and encodes a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="columns">Which fields make an example.</param>
    /// <param name="encoder">The encoder.</param>
    /// <param name="badRows">What happens to rows that cannot be read.</param>
    /// <param name="cancellationToken">Stops between rows.</param>
    /// <returns>The examples; <see cref="TrainingExample.Source"/> is the line.</returns>
    /// <exception cref="FineTuningException">The file is absent, or a row cannot be read under <see cref="BadRows.Fail"/>: the message names the line.</exception>
    public static ExampleSet Read(string path, ExampleColumns columns, ExampleEncoder encoder, BadRows badRows = BadRows.Fail, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(columns);
        ArgumentNullException.ThrowIfNull(encoder);
        columns.Validate();
        if (!File.Exists(path))
        {
            throw new FineTuningException(Directory.Exists(path) ? $"{path} is a folder, expected a file of JSON lines" : $"{path} does not exist");
        }

        var examples = new List<TrainingExample>();
        int unreadable = 0;
        string? firstProblem = null;
        long number = 0;
        foreach (string line in File.ReadLines(path, s_utf8))
        {
            cancellationToken.ThrowIfCancellationRequested();
            number++;
            if (string.IsNullOrWhiteSpace(line))
            {
                continue;
            }

            try
            {
                examples.AddRange(Parse(line, columns, encoder).Select(example => example with { Source = number }));
            }
            // InvalidOperationException: escapes that are no text, such as half a surrogate pair.
            catch (Exception e) when (e is FineTuningException or JsonException or InvalidOperationException or ChatTemplateException or CheckpointException or ArgumentException)
            {
                string problem = $"{path}, line {number}: {(e is JsonException ? "the line is no JSON: " : "")}{e.Message}";
                if (badRows == BadRows.Fail)
                {
                    throw new FineTuningException(problem, e);
                }

                unreadable++;
                firstProblem ??= problem;
            }
        }

        return new ExampleSet(examples, unreadable, firstProblem);
    }

    private static IReadOnlyList<TrainingExample> Parse(string line, ExampleColumns columns, ExampleEncoder encoder)
    {
        if (line.Contains(NotUtf8, StringComparison.Ordinal))
        {
            throw new FineTuningException("the line is not valid UTF-8");
        }

        using var document = JsonDocument.Parse(line);
        var row = document.RootElement;
        if (row.ValueKind != JsonValueKind.Object)
        {
            throw new FineTuningException($"the line is a JSON {Kind(row)}, expected an object such as {{\"text\": \"…\"}}");
        }

        if (columns.Chat is not null)
        {
            return encoder.Chat(Messages(row, columns.Chat));
        }

        if (columns.Prompt is not null)
        {
            return [encoder.Completion(Text(row, columns.Prompt), Text(row, columns.Completion!))];
        }

        string text = Text(row, columns.Text!);
        return [columns.Label is null ? encoder.Text(text) : encoder.Label(text, LabelText(Field(row, columns.Label), columns.Label), columns.PromptTemplate)];
    }

    private static string LabelText(JsonElement value, string column)
    {
        string label = value.ValueKind switch
        {
            JsonValueKind.String => value.GetString()!,
            JsonValueKind.True => "true",
            JsonValueKind.False => "false",
            JsonValueKind.Number when value.TryGetInt64(out _) => value.GetRawText(),
            _ => throw new FineTuningException($"the field '{column}' is a JSON {Kind(value)}, expected a label: a string, a whole number, true or false"),
        };

        // What ClassifyOptions scores for a label is a space and the label.
        return label.Length == 0 ? "" : " " + label;
    }

    private static List<ChatMessage> Messages(JsonElement row, string column)
    {
        var list = Field(row, column);
        if (list.ValueKind != JsonValueKind.Array)
        {
            throw new FineTuningException($"the field '{column}' is a JSON {Kind(list)}, expected an array of messages such as {{\"role\": \"user\", \"content\": \"…\"}}");
        }

        var messages = new List<ChatMessage>();
        foreach (var element in list.EnumerateArray())
        {
            if (element.ValueKind != JsonValueKind.Object || !element.TryGetProperty("role", out var role) || role.ValueKind != JsonValueKind.String
                || !element.TryGetProperty("content", out var content) || content.ValueKind is not (JsonValueKind.String or JsonValueKind.Null))
            {
                throw new FineTuningException($"message {messages.Count + 1} of '{column}' is {Shorten(element.GetRawText())}, expected an object with \"role\" (a string) and \"content\" (a string or null)");
            }

            Dictionary<string, JsonElement> other = element.EnumerateObject().Where(p => p.Name is not ("role" or "content"))
                .ToDictionary(p => p.Name, p => p.Value.Clone(), StringComparer.Ordinal);
            messages.Add(new ChatMessage(role.GetString()!, content.GetString()) { Other = other.Count == 0 ? null : other });
        }

        return messages;
    }

    private static string Text(JsonElement row, string column)
    {
        var value = Field(row, column);
        return value.ValueKind == JsonValueKind.String ? value.GetString()! : throw new FineTuningException($"the field '{column}' is a JSON {Kind(value)}, expected a string");
    }

    private static JsonElement Field(JsonElement row, string column)
    {
        if (row.TryGetProperty(column, out var value))
        {
            return value;
        }

        string[] present = [.. row.EnumerateObject().Take(8).Select(property => $"'{property.Name}'")];
        throw new FineTuningException($"there is no field '{column}'; its fields are: {(present.Length == 0 ? "none" : string.Join(", ", present))}");
    }

    private static string Shorten(string text) => text.Length <= 60 ? text : text[..60] + "…";

    private static string Kind(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Array => "array",
        JsonValueKind.Object => "object",
        JsonValueKind.String => "string",
        JsonValueKind.Number => "number",
        JsonValueKind.Null => "null",
        _ => "boolean",
    };
}
