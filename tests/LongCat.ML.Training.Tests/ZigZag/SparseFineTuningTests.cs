using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.TestShared;
using LongCat.ML.Training.FineTuning;
using LongCat.ML.Training.Tests.FineTuning;
using LongCat.ML.Training.ZigZag;
using Xunit.Abstractions;

namespace LongCat.ML.Training.Tests.ZigZag;

/// <summary>Fine-tuning of a checkpoint with streaming attentions, as it follows the choice.</summary>
[Collection(OneTrainerAtATime.Name)]
public class SparseFineTuningTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_sparse_model_learns_with_an_adapter_and_with_all_weights(bool adapter)
    {
        using var folder = new TemporaryFolder();
        string source = RandomCheckpoint.Write(folder["model"], new RandomCheckpointOptions { Tokenizer = true });
        StreamingAttentionConfig streaming = new() { BlockSize = 4, SinkBlocks = 1, LocalBlocks = 2, AttentionLayers = [0] };
        SparseCheckpoint.Write(source, streaming, new ContextExtension { MaxPositions = 512 }, folder["sparse"]);
        FineTuningOptions options = new() { Lora = adapter ? new LoraOptions() : null, Steps = 25, BatchRows = 4, Columns = 48, LearningRate = adapter ? 2e-2 : 5e-3, EvaluateEvery = 0, Threads = 2, StateFolder = folder["state"], SaveEvery = 10 };
        using (var tuner = FineTuner.Create(folder["sparse"], TinyExamples.Make(60, length: 46), TinyExamples.Make(20, length: 46, seed: 5), options))
        {
            var result = tuner.Run();
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"adapter {adapter}: validation {result.InitialValidationLoss:F3} -> {result.ValidationLoss:F3}"));
            Assert.True(result.ValidationLoss < 0.9 * result.InitialValidationLoss);
            tuner.Save(folder["tuned"]);
            Assert.Contains("1 + 2 blocks of 4 in attentions 0", File.ReadAllText(folder["tuned/report.html"]), StringComparison.Ordinal);
        }

        if (adapter)
        {
            // The adapter belongs on the sparse model; merged into it, the checkpoint is still sparse.
            using PeftAdapter peft = PeftAdapter.Load(folder["tuned"]);
            MergedCheckpoint.Write(folder["sparse"], [peft], folder["merged"]);
        }

        using var tuned = CausalLanguageModel.Load(folder[adapter ? "merged" : "tuned"]);
        Assert.Equal(streaming, tuned.Config.Streaming);
        Assert.Equal(512, tuned.Config.MaxPositions);

        // A state is of one pattern.
        SparseCheckpoint.Write(source, streaming with { AttentionLayers = [1] }, new ContextExtension { MaxPositions = 512 }, folder["other"]);
        using var other = FineTuner.Create(folder["other"], TinyExamples.Make(60, length: 46), TinyExamples.Make(20, length: 46, seed: 5), options);
        Assert.Contains("in attentions 0", Assert.Throws<CheckpointException>(() => other.Resume()).Message, StringComparison.Ordinal);
    }
}
