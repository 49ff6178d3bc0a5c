using LongCat.ML.Checkpoints;
using LongCat.ML.Training.Corpus;
using LongCat.ML.Training.Data;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary>The SDK's documentation, read and divided once per command.</summary>
internal static class TrainingCorpus
{
    public static CorpusSplit Read() => CorpusSplit.Divide(SdkDocumentation.Read(SdkDocumentation.Locate()));

    public static TokenizedDocuments Encode(HuggingFaceTokenizer tokenizer, IEnumerable<ApiDocument> documents, LongcatFlashConfig config) =>
        DocumentEncoder.Encode(tokenizer, documents.Select(d => d.Text), config.BosTokenId, EndOfSequence(config));

    public static int EndOfSequence(LongcatFlashConfig config) => config.EosTokenIds.Count > 0
        ? config.EosTokenIds[0]
        : throw new CheckpointException("config.json", "eos_token_id is missing; documents need an end-of-sequence token");
}
