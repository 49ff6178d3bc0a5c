using System.Diagnostics;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Training.Corpus;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Benchmarks.Speculation;

/// <summary>longcat-nano's draft head, trained on what the model itself writes behind signatures of its training text: what <c>longcat-train draft --head mtp</c> does.</summary>
/// <param name="Folder">The checkpoint with the trained head.</param>
/// <param name="Texts">Texts of the model that taught it.</param>
/// <param name="Before">Loss of the head on texts that did not, in nats, before and after.</param>
/// <param name="After">After it.</param>
/// <param name="Elapsed">Writing and training together.</param>
internal sealed record DraftTraining(string Folder, int Texts, double Before, double After, TimeSpan Elapsed)
{
    private const int NewTokens = 96, HeldOut = 64;

    public static DraftTraining Run(string checkpoint, string onnx, string output, bool quick)
    {
        long start = Stopwatch.GetTimestamp();
        IReadOnlyList<ApiDocument> seen = CorpusSplit.Divide(SdkDocumentation.Read(SdkDocumentation.Locate())).Train;
        HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(checkpoint);
        int count = quick ? 128 : 1200;
        TrainingExample[] texts;
        using (InferenceEngine engine = InferenceEngine.Load(onnx, new EngineOptions { MaxSequences = 32 }))
        {
            texts = Task.WhenAll(Enumerable.Range(0, count).Select(async i =>
            {
                IReadOnlyList<int> prompt = tokenizer.EncodeToIds(seen[(int)((long)i * seen.Count / count)].CompletionPrompt);

                // One half greedy, one half drawn, as requests are.
                GenerationResult result = await engine.GenerateAsync(new GenerationRequest
                {
                    PromptIds = prompt,
                    Options = new GenerationOptions { MaxNewTokens = NewTokens, Temperature = i % 2 == 0 ? 0 : 0.8f, Seed = (ulong)i },
                }).ConfigureAwait(false);
                return new TrainingExample([.. prompt, .. result.Ids], [.. prompt.Select(_ => false), .. result.Ids.Select(_ => true)]);
            })).GetAwaiter().GetResult();
        }

        int held = Math.Min(HeldOut, count / 4);
        FineTuningOptions options = new()
        {
            Lora = null,
            DraftHead = true,
            Epochs = quick ? 1 : 2,
            LearningRate = 5e-4,
            Columns = 128,
            BatchRows = 16,
            EvaluateEvery = 0,
        };
        using FineTuner tuner = FineTuner.Create(checkpoint, texts[held..], texts[..held], options);
        FineTuningResult trained = tuner.Run();
        tuner.Save(output);
        return new DraftTraining(output, count - held, trained.InitialValidationLoss ?? double.NaN, trained.ValidationLoss ?? double.NaN, Stopwatch.GetElapsedTime(start));
    }

    public override string ToString() => FormattableString.Invariant($"{Texts} texts, loss of the head on {HeldOut} others {Before:F3} -> {After:F3}, {Elapsed.TotalSeconds:F0} s");
}
