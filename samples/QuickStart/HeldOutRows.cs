using LongCat.ML.Training.Corpus;

namespace QuickStart;

/// <summary>
/// The held-out rows of longcat-nano: the repository has their names and hashes, the texts come from the installed SDK. Beside them rows to train on, of other types.
/// </summary>
internal sealed record HeldOutRows(IReadOnlyList<ApiRow> Rows, IReadOnlyList<ApiRow> Training, IReadOnlyList<string> Groups, string MajorityGroup, string Origin)
{
    /// <summary>Takes <paramref name="count"/> rows, spread evenly over the list, <paramref name="training"/> rows of the training documents, and their namespace groups as labels.</summary>
    public static HeldOutRows Read(string listPath, int count, int training)
    {
        IReadOnlyList<ApiDocument> documents = SdkDocumentation.Read(SdkDocumentation.Locate());
        (IReadOnlyList<ApiDocument> found, int changed, int missing) = HeldOutList.Read(listPath, documents);
        if (found.Count == 0)
        {
            throw new InvalidOperationException($"none of the {changed + missing} held-out members is documented as it was by the SDKs of this machine");
        }

        // Labels and the majority come from the training documents alone; a group with a handful of members is no label worth guessing.
        IReadOnlyList<ApiDocument> seen = CorpusSplit.Divide(documents).Train;
        string[] groups = [.. seen
            .GroupBy(document => document.NamespaceGroup, StringComparer.Ordinal)
            .Where(group => group.Count() >= 100)
            .OrderByDescending(group => group.Count()).ThenBy(group => group.Key, StringComparer.Ordinal)
            .Select(group => group.Key)];

        List<ApiRow> rows = Spread(found, count, groups);
        return new HeldOutRows(
            rows,
            Spread(seen, training, groups),
            groups,
            groups[0],
            $"{rows.Count} of {found.Count} held-out members ({changed} worded differently by this SDK, {missing} not in it; members of rare groups are left out)");
    }

    private static List<ApiRow> Spread(IReadOnlyList<ApiDocument> documents, int count, string[] groups)
    {
        ApiDocument[] usable = [.. documents.Where(document => groups.Contains(document.NamespaceGroup, StringComparer.Ordinal))];
        int rows = Math.Min(count, usable.Length);
        return [.. Enumerable.Range(0, rows).Select(i => usable[(int)((long)i * usable.Length / rows)]).Select(document => new ApiRow
        {
            Member = document.Id,
            Declaration = document.Signature,
            Signature = document.CompletionPrompt,
            Documentation = document.ClassificationPrompt,
            TrueSummary = document.Summary,
            TrueGroup = document.NamespaceGroup,
        })];
    }
}
