using LongCat.ML.Checkpoints;
using LongCat.ML.Training.Corpus;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Benchmarks.ZigZag;

/// <summary>
/// Long texts of the SDK's documentation. No member's documentation is long, so that of many is read as one: members in the order of their types, each from begin to end of sequence, as longcat-nano knows
/// them. What a type's other members say, and what all members have in common, is what a long context can tell.
/// </summary>
internal sealed class LongTexts
{
    private readonly IReadOnlyList<ApiDocument> _training;
    private readonly Func<string, int[]> _encode;

    private LongTexts(IReadOnlyList<int[]> heldOut, IReadOnlyList<ApiDocument> training, Func<string, int[]> encode, int changed, int missing) =>
        (HeldOut, _training, _encode, Changed, Missing) = (heldOut, training, encode, changed, missing);

    /// <summary>Members of types that the model never saw.</summary>
    public IReadOnlyList<int[]> HeldOut { get; }

    /// <summary>Listed members that this machine's SDK words differently, and those that it has not: they are left out.</summary>
    public int Changed { get; }

    public int Missing { get; }

    /// <param name="folder">longcat-nano, with held-out.txt.</param>
    public static LongTexts Read(string folder)
    {
        IReadOnlyList<ApiDocument> all = SdkDocumentation.Read(SdkDocumentation.Locate());
        (IReadOnlyList<ApiDocument> heldOut, int changed, int missing) = HeldOutList.Read(Path.Combine(folder, "held-out.txt"), all);
        HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(folder);
        ModelConfig config = ModelConfig.Load(folder);
        int[] Encode(string text) => [.. tokenizer.Encode(text, addSpecialTokens: false)];
        int[] Member(string text) => [config.BosTokenId!.Value, .. Encode(text), config.EosTokenIds[0]];
        return new LongTexts([.. InOrder(heldOut).Select(document => Member(document.Text))], [.. InOrder(CorpusSplit.Divide(all).Train)], text => text.Length == 0 ? Member("") : Encode(text), changed, missing);

        static IEnumerable<ApiDocument> InOrder(IEnumerable<ApiDocument> documents) =>
            documents.OrderBy(document => document.DeclaringType, StringComparer.Ordinal).ThenBy(document => document.Id, StringComparer.Ordinal);
    }

    /// <summary>A text's ids, without begin and end.</summary>
    public int[] Encode(string text) => _encode(text);

    /// <summary>A text as a member's documentation.</summary>
    public int[] Member(string text)
    {
        int[] ends = _encode("");
        return [ends[0], .. _encode(text), ends[1]];
    }

    /// <summary>The first held-out tokens as one text.</summary>
    public int[] HeldOutText(int tokens)
    {
        int[] ids = [.. HeldOut.SelectMany(member => member).Take(tokens)];
        return ids.Length == tokens ? ids : throw new InvalidOperationException($"the held-out documentation has {ids.Length} tokens in this SDK, {tokens} are needed");
    }

    /// <summary>Rows of training text from different places of it.</summary>
    /// <param name="rows">All rows that will be needed.</param>
    /// <param name="columns">Tokens of each.</param>
    public IReadOnlyList<TrainingExample> TrainingRows(int rows, int columns)
    {
        bool[] learned = [.. Enumerable.Repeat(true, columns)];
        TrainingExample[] all = new TrainingExample[rows];
        for (int row = 0; row < rows; row++)
        {
            int first = (int)((long)row * _training.Count / rows);
            int[] ids = [.. Enumerable.Range(0, _training.Count).SelectMany(i => Member(_training[(first + i) % _training.Count].Text)).Take(columns)];
            all[row] = new TrainingExample(ids, learned);
        }

        // Neighbours tell of the same namespaces: each part of the study gets rows of all of the text.
        new Random(1).Shuffle(all);
        return all;
    }
}
