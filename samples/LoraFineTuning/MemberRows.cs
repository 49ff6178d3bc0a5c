using LongCat.ML.Training.Corpus;

namespace LoraFineTuning;

/// <summary>
/// Rows of three parts that share no type: a row that is tested must not have its siblings among those that were learned, or the test would measure memory. longcat-nano itself was trained on the types of
/// <see cref="Training"/> and <see cref="Validation"/>, in another wording; it never saw a type of <see cref="Test"/>.
/// </summary>
internal sealed record MemberRows(IReadOnlyList<MemberRow> Training, IReadOnlyList<MemberRow> Validation, IReadOnlyList<MemberRow> Test, string MajorityGroup)
{
    private const int LeastOfGroup = 100, LongestSummary = 200;

    public static MemberRows Read(string heldOutList, int training, int validation, int test)
    {
        // The texts are those of the installed SDK; the repository holds names and hashes of the held-out members only.
        IReadOnlyList<ApiDocument> documents = SdkDocumentation.Read(SdkDocumentation.Locate());
        IReadOnlyList<ApiDocument> unseen = HeldOutList.Read(heldOutList, documents).Rows, seen = CorpusSplit.Divide(documents).Train;
        Dictionary<string, int> groups = seen.CountBy(document => document.NamespaceGroup).Where(group => group.Value >= LeastOfGroup).ToDictionary();
        return new MemberRows(
            Spread(seen.Where(document => !IsValidation(document)), training), Spread(seen.Where(IsValidation), validation), Spread(unseen, test), groups.MaxBy(group => group.Value).Key);

        // Of the types that the model was trained on, a twentieth by another hash than the corpus's own.
        static bool IsValidation(ApiDocument document) => CorpusSplit.IsHeldOut("validation " + document.DeclaringType, 0.05);

        List<MemberRow> Spread(IEnumerable<ApiDocument> all, int count)
        {
            ApiDocument[] usable = [.. all.Where(document => groups.ContainsKey(document.NamespaceGroup) && document.Summary.Length <= LongestSummary)];
            count = Math.Min(count, usable.Length);
            return [.. Enumerable.Range(0, count).Select(i => Row(usable[(int)((long)i * usable.Length / count)]))];
        }
    }

    private static MemberRow Row(ApiDocument document) => new()
    {
        Member = document.Id,
        Declaration = document.Signature,
        Group = document.NamespaceGroup,
        Code = $"// {document.Namespace}\n{document.Signature}\n/// <summary>",
        Comment = $" {document.Summary} </summary>",
    };
}
