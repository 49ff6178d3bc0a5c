using LongCat.ML.Training.Corpus;

namespace BatchScoring;

/// <summary>Input rows of members that longcat-nano never saw. The repository has their names and hashes; the texts come from the installed SDK.</summary>
internal sealed record HeldOutRows(IReadOnlyList<ApiDocument> Documents, IReadOnlyList<string> Groups)
{
    /// <summary>Takes <paramref name="count"/> documents, spread evenly over the list, and the namespace groups of the training documents as labels.</summary>
    public static HeldOutRows Read(string listPath, int count)
    {
        IReadOnlyList<ApiDocument> documents = SdkDocumentation.Read(SdkDocumentation.Locate());
        (IReadOnlyList<ApiDocument> held, int changed, int missing) = HeldOutList.Read(listPath, documents);
        if (held.Count == 0)
        {
            throw new InvalidOperationException($"none of the {changed + missing} held-out members is documented as it was by the SDKs of this machine");
        }

        string[] groups = [.. CorpusSplit.Divide(documents).Train
            .GroupBy(document => document.NamespaceGroup, StringComparer.Ordinal)
            .Where(group => group.Count() >= 100)
            .Select(group => group.Key).Order(StringComparer.Ordinal)];
        int rows = Math.Min(count, held.Count);
        return new HeldOutRows([.. Enumerable.Range(0, rows).Select(i => held[(int)((long)i * held.Count / rows)])], groups);
    }
}
