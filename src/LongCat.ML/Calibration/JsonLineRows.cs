using System.Text;
using System.Text.Json;

namespace LongCat.ML.Calibration;

/// <summary>The texts of a field in a file of JSON objects, one a line; blank lines are no rows.</summary>
internal static class JsonLineRows
{
    public static IEnumerable<CalibrationRow> Read(string path, string column)
    {
        int number = 0;
        foreach (string line in File.ReadLines(path, Encoding.UTF8))
        {
            number++;
            if (!string.IsNullOrWhiteSpace(line))
            {
                yield return Parse(line, column, $"{path}, line {number}");
            }
        }
    }

    private static CalibrationRow Parse(string line, string column, string where)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(line);
            JsonElement row = document.RootElement;
            if (row.ValueKind != JsonValueKind.Object)
            {
                return new CalibrationRow(null, $"{where}: the line is a JSON {Kind(row)}, expected an object such as {{\"{column}\": \"…\"}}");
            }

            if (!row.TryGetProperty(column, out JsonElement value))
            {
                string[] present = [.. row.EnumerateObject().Take(8).Select(property => $"'{property.Name}'")];
                return new CalibrationRow(null, $"{where}: there is no field '{column}'; its fields are: {(present.Length == 0 ? "none" : string.Join(", ", present))}");
            }

            return value.ValueKind == JsonValueKind.String
                ? new CalibrationRow(value.GetString(), null)
                : new CalibrationRow(null, $"{where}: the field '{column}' is a JSON {Kind(value)}, expected a string");
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: escapes that are no text, such as half a surrogate pair.
            return new CalibrationRow(null, $"{where}: the line is no JSON: {exception.Message.TrimEnd('.')}");
        }
    }

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
