using LongCat.ML.Training.Corpus;

namespace LongContext;

/// <summary>Long texts: the documentation of the installed SDK, many members one after another by type.</summary>
internal static class LongDocumentation
{
    /// <summary>Texts to calibrate with, of types that longcat-nano has read.</summary>
    /// <param name="count">How many.</param>
    /// <param name="characters">The length of each.</param>
    public static IEnumerable<string> Texts(int count, int characters)
    {
        IReadOnlyList<ApiDocument> members = [.. CorpusSplit.Divide(SdkDocumentation.Read(SdkDocumentation.Locate())).Train.OrderBy(member => member.DeclaringType, StringComparer.Ordinal)];
        return Enumerable.Range(0, count).Select(i => Joined(members, (int)((long)i * members.Count / count), characters));
    }

    /// <summary>One text of types that longcat-nano never saw, then of all others.</summary>
    /// <param name="characters">Its length.</param>
    public static string Prompt(int characters)
    {
        CorpusSplit split = CorpusSplit.Divide(SdkDocumentation.Read(SdkDocumentation.Locate()));
        return Joined([.. split.HeldOut, .. split.Train], 0, characters);
    }

    private static string Joined(IReadOnlyList<ApiDocument> members, int first, int characters)
    {
        System.Text.StringBuilder text = new();
        for (int i = first; text.Length < characters; i++)
        {
            text.Append(members[i % members.Count].Text).Append("\n\n");
        }

        return text.ToString(0, characters);
    }
}
