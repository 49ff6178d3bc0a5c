namespace LongCat.ML.Checkpoints;

/// <summary>Finds what a misspelt or foreign name may have meant.</summary>
internal static class NearNames
{
    /// <summary>
    /// The names nearest to one, best first: by the edits between the names with digits left out, or between their last parts where only one has a path; among equals the one that begins most alike.
    /// A name without a path stands for all of that last part, so of these one is listed.
    /// </summary>
    public static IReadOnlyList<string> Of(string name, IEnumerable<string> candidates, int most = 3)
    {
        string wanted = Key(name);
        string last = Last(wanted);
        bool path = wanted.Contains('.', StringComparison.Ordinal);
        return
        [
            .. candidates.Select(candidate => (Name: candidate, Key: Key(candidate)))
                .GroupBy(c => path ? c.Key : Last(c.Key), StringComparer.Ordinal)
                .Select(group => (group.First().Name, Distance: Math.Min(
                    Distance(wanted, group.Key), Distance(last, Last(group.Key)) + (path ? 2 : 0))))
                .Where(c => c.Distance <= Math.Max(3, (2 * last.Length) / 3))
                .OrderBy(c => c.Distance).ThenByDescending(c => Last(c.Name).Zip(last).TakeWhile(pair => pair.First == pair.Second).Count()).ThenBy(c => c.Name, StringComparer.Ordinal)
                .Take(most).Select(c => c.Name),
        ];
    }

    /// <summary>"did you mean …" with the names nearest to one, else some of the names there are.</summary>
    public static string Hint(string name, IReadOnlyCollection<string> candidates)
    {
        IReadOnlyList<string> near = Of(name, candidates);
        return near.Count > 0
            ? $"near names: {string.Join(", ", near)}"
            : $"the model has {string.Join(", ", candidates.Select(Last).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).Take(16))}";
    }

    private static string Key(string name) => string.Concat(name.Where(c => !char.IsAsciiDigit(c)));

    private static string Last(string name)
    {
        string trimmed = name.TrimEnd('.');
        return trimmed[(trimmed.LastIndexOf('.') + 1)..];
    }

    /// <summary>Levenshtein's distance, of the first 200 characters.</summary>
    private static int Distance(string a, string b)
    {
        a = a[..Math.Min(a.Length, 200)];
        b = b[..Math.Min(b.Length, 200)];
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int above = row[j];
                row[j] = Math.Min(Math.Min(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                diagonal = above;
            }
        }

        return row[^1];
    }
}
