using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using LongCat.ML.Training.Data;
using LongCat.ML.Training.Pretraining;
using LongCat.ML.Training.Tokenization;

namespace LongCat.ML.Training.Tests.Pretraining;

public class NanoConfigTests
{
    [Fact]
    public void Nano_is_a_lite_model_of_about_eight_million_parameters()
    {
        var (config, _) = NanoConfig.Read("nano");
        var tensors = config.ExpectedTensors(withMtp: true);
        long parameters = tensors.Sum(t => t.ElementCount);
        long tables = tensors.Where(t => t.Group == TensorGroup.NGram).Sum(t => t.ElementCount);
        Assert.InRange(parameters, 7_500_000, 9_000_000);
        Assert.InRange(tables / (double)parameters, 1 / 3.0, 0.5);

        // With the repeated embedding of the draft head, in two bytes each.
        Assert.True(2 * (parameters + (config.VocabSize * (long)config.HiddenSize)) < 20_000_000);

        // Hashes collide where the table size is near a multiple of the vocabulary (2601.21204).
        double ratio = config.NGram!.VocabSizeRatio;
        Assert.True(Math.Abs(ratio - Math.Round(ratio)) > 0.2);
    }

    [Fact]
    public void A_config_that_is_missing_is_named()
    {
        using var folder = new TemporaryFolder();
        var e = Assert.Throws<CheckpointException>(() => NanoConfig.Read(folder["config.json"]));
        Assert.Contains("config.json", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Documents_begin_and_end_with_their_tokens()
    {
        using var folder = new TemporaryFolder();
        BpeTrainer.Train(["Gets the value.", "Sets the value."], new BpeTrainerOptions { VocabularySize = 300 }).Save(folder.Path);
        var tokenizer = HuggingFaceTokenizer.Load(folder.Path);
        var documents = DocumentEncoder.Encode(tokenizer, ["Gets the value.", "Sets"], 1, 2);
        Assert.Equal(2, documents.Documents.Count);
        Assert.All(documents.Documents, d =>
        {
            Assert.Equal(1, d[0]);
            Assert.Equal(2, d[^1]);
            Assert.Single(d, id => id == 1);
        });
        Assert.Equal("Sets", tokenizer.Decode(documents.Documents[1][1..^1]));
    }
}
