using LongCat.ML.Checkpoints;
using LongCat.ML.Training.Corpus;

namespace LongCat.ML.Benchmarks.Quality;

/// <summary>
/// The documentation that longcat-nano never saw, as its folder lists it, and rows of its training text to calibrate with. Documents are token ids as the
/// model was trained on them: begin of sequence, the text, end of sequence.
/// </summary>
internal sealed class HeldOutText
{
    private HeldOutText(IReadOnlyList<int[]> documents, IReadOnlyList<int[]> training, int changed, int missing)
    {
        Documents = documents;
        Training = training;
        Changed = changed;
        Missing = missing;
    }

    public IReadOnlyList<int[]> Documents { get; }

    public IReadOnlyList<int[]> Training { get; }

    /// <summary>Listed documents that this machine's SDK words differently, and those that it has not: they are left out.</summary>
    public int Changed { get; }

    public int Missing { get; }

    /// <summary>Reads the documents of the running SDK.</summary>
    /// <param name="folder">longcat-nano, with held-out.txt.</param>
    /// <param name="every">Takes every n-th held-out document.</param>
    /// <param name="calibrationRows">Rows of training text, spread evenly over all of it.</param>
    public static HeldOutText Read(string folder, int every, int calibrationRows)
    {
        IReadOnlyList<ApiDocument> all = SdkDocumentation.Read(SdkDocumentation.Locate());
        (IReadOnlyList<ApiDocument> rows, int changed, int missing) = HeldOutList.Read(Path.Combine(folder, "held-out.txt"), all);
        IReadOnlyList<ApiDocument> train = CorpusSplit.Divide(all).Train;
        HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(folder);
        ModelConfig config = ModelConfig.Load(folder);
        int[] Encode(ApiDocument document) => [config.BosTokenId!.Value, .. tokenizer.EncodeToIds(document.Text).Where(id => id != config.BosTokenId), config.EosTokenIds[0]];
        return new HeldOutText(
            [.. rows.Where((_, i) => i % every == 0).Select(Encode)],
            [.. Enumerable.Range(0, calibrationRows).Select(i => Encode(train[(int)((long)i * train.Count / calibrationRows)]))],
            changed,
            missing);
    }
}
