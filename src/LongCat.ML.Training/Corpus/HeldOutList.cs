namespace LongCat.ML.Training.Corpus;

/// <summary>
/// Held-out rows as they are committed: the member's id and the SHA-256 of its text, never the text. On a machine whose SDK words a member differently,
/// that row is left out and counted.
/// </summary>
public static class HeldOutList
{
    /// <summary>Writes <c>&lt;member id&gt; &lt;sha256&gt;</c> lines in ordinal order of the id. The file appears whole or not at all.</summary>
    /// <param name="path">The file to write; an existing one is replaced.</param>
    /// <param name="documents">The rows.</param>
    public static void Write(string path, IEnumerable<ApiDocument> documents)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(documents);
        string temporary = path + ".partial";
        File.WriteAllText(temporary, string.Concat(documents
            .OrderBy(document => document.Id, StringComparer.Ordinal)
            .Select(document => $"{document.Id} {document.Sha256}\n")));
        File.Move(temporary, path, overwrite: true);
    }

    /// <summary>Finds the rows of a list among this machine's documents.</summary>
    /// <param name="path">A file that <see cref="Write"/> wrote.</param>
    /// <param name="documents">The documents of this machine.</param>
    /// <returns>The rows whose text is unchanged, in the list's order; how many have another text; how many do not exist here.</returns>
    /// <exception cref="InvalidDataException">A line is malformed; the message gives its number.</exception>
    public static (IReadOnlyList<ApiDocument> Rows, int Changed, int Missing) Read(string path, IEnumerable<ApiDocument> documents)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(documents);
        Dictionary<string, ApiDocument> byId = documents.ToDictionary(document => document.Id, StringComparer.Ordinal);
        List<ApiDocument> rows = [];
        int changed = 0, missing = 0, number = 0;
        foreach (string line in File.ReadLines(path))
        {
            number++;
            if (line.Length == 0)
            {
                continue;
            }

            // The hash has no space in it; some ids do.
            int space = line.LastIndexOf(' ');
            if (space <= 0 || line.Length - space - 1 != 64)
            {
                throw new InvalidDataException($"{path}, line {number}: expected `<member id> <sha256>`, got `{line}`.");
            }

            if (!byId.TryGetValue(line[..space], out ApiDocument? document))
            {
                missing++;
            }
            else if (document.Sha256 != line[(space + 1)..])
            {
                changed++;
            }
            else
            {
                rows.Add(document);
            }
        }

        return (rows, changed, missing);
    }
}
