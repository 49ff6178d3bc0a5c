using LongCat.ML.Training.Corpus;

namespace QuickStart;

/// <summary>
/// The held-out rows of longcat-nano: the repository has their names and hashes, the texts come from the installed SDK.
/// </summary>
internal sealed record HeldOutRows(IReadOnlyList<ApiRow> Rows, IReadOnlyList<string> Groups, string MajorityGroup, string Origin)
{
    /// <summary>Takes <paramref name="count"/> rows, spread evenly over the list, and the namespace groups of the training documents as labels.</summary>
    public static HeldOutRows Read(string listPath, int count)
    {
        IReadOnlyList<ApiDocument> documents = SdkDocumentation.Read(SdkDocumentation.Locate());
        (IReadOnlyList<ApiDocument> found, int changed, int missing) = HeldOutList.Read(listPath, documents);
        if (found.Count == 0)
        {
            throw new InvalidOperationException($"none of the {changed + missing} held-out members is documented as it was by the SDKs of this machine");
        }

        // Labels and the majority come from the training documents alone; a group with a handful of members is no label worth guessing.
        string[] groups = [.. CorpusSplit.Divide(documents).Train
            .GroupBy(document => document.NamespaceGroup, StringComparer.Ordinal)
            .Where(group => group.Count() >= 100)
            .OrderByDescending(group => group.Count()).ThenBy(group => group.Key, StringComparer.Ordinal)
            .Select(group => group.Key)];

        ApiDocument[] usable = [.. found.Where(document => groups.Contains(document.NamespaceGroup, StringComparer.Ordinal))];
        int rows = Math.Min(count, usable.Length);
        return new HeldOutRows(
            [.. Enumerable.Range(0, rows).Select(i => usable[(int)((long)i * usable.Length / rows)]).Select(document => new ApiRow
            {
                Member = document.Id,
                Signature = document.CompletionPrompt,
                Documentation = document.ClassificationPrompt,
                TrueSummary = document.Summary,
                TrueGroup = document.NamespaceGroup,
            })],
            groups,
            groups[0],
            $"{rows} of {found.Count} held-out members ({changed} worded differently by this SDK, {missing} not in it, {found.Count - usable.Length} in rare groups)");
    }
}
