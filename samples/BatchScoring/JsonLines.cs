using System.Text.Encodings.Web;
using System.Text.Json;

namespace BatchScoring;

/// <summary>Rows as lines of JSON, read and written one at a time: neither file is ever in memory.</summary>
internal static class JsonLines
{
    // Only what JSON itself demands is escaped: the files are read by people and programs, not by browsers.
    private static readonly JsonSerializerOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Reads the file anew for whoever enumerates it, and only as far as they do.</summary>
    public static IEnumerable<ApiRow> Read(string path)
    {
        int number = 0;
        foreach (string line in File.ReadLines(path))
        {
            number++;
            if (line.Length > 0)
            {
                yield return Parse(path, number, line);
            }
        }
    }

    /// <summary>The file appears under its name when all rows are in it.</summary>
    public static int Write<T>(string path, IEnumerable<T> rows)
    {
        string partial = path + ".partial";
        int count = 0;
        try
        {
            using (StreamWriter writer = new(partial))
            {
                foreach (T row in rows)
                {
                    writer.WriteLine(JsonSerializer.Serialize(row, Options));
                    count++;
                }
            }

            File.Move(partial, path, overwrite: true);
            return count;
        }
        finally
        {
            File.Delete(partial);
        }
    }

    private static ApiRow Parse(string path, int number, string line)
    {
        try
        {
            return JsonSerializer.Deserialize<ApiRow>(line) ?? throw new JsonException("the line is null");
        }
        catch (JsonException error)
        {
            throw new InvalidDataException($"{path}, line {number}: {error.Message} A line is an object with the texts member, signature and summary.", error);
        }
    }
}
