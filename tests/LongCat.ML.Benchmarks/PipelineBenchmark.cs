using LongCat.ML.Onnx;
using Microsoft.ML;

namespace LongCat.ML.Benchmarks;

/// <summary>Rows per second of a batched view against a loop of <see cref="PredictionEngine{TSrc, TDst}"/> over the same rows.</summary>
internal static class PipelineBenchmark
{
    private const int RowsInFlight = 16;

    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options)
    {
        foreach (Figure figure in Compare(models.Nano, prompts => prompts.Text(), options.Quick ? 16 : 48, options.Repetitions))
        {
            yield return figure;
        }

        using BenchmarkModel qwen = models.Export(models.Shapes[1], "bf16", new ExportOptions());

        // The generated tokenizer has no merges, every byte is a token: a sentence would be four times as many tokens as with a real one.
        foreach (Figure figure in Compare(qwen, prompts => prompts.Short(), options.Quick ? 16 : 32, options.RepetitionsOf(slow: true)))
        {
            yield return figure;
        }
    }

    private static Figure[] Compare(BenchmarkModel model, Func<Prompts, string> text, int count, int repetitions)
    {
        Console.Error.WriteLine($"mlnet: {model.Name}");
        MLContext context = new(seed: 1);
        Prompts prompts = new(model.Config.VocabSize);
        GenerateOptions step = new() { ModelFolder = model.Folder, MaxNewTokens = 24, MaxRowsInFlight = RowsInFlight };
        ITransformer transformer = context.LongCat().Generate(step).Fit(context.Data.LoadFromEnumerable(Array.Empty<PromptRow>()));
        int tokens = 0, equal = 0, compared = 0;
        (Series batched, Series loop, double ratio) = Series.InTurns(repetitions, () =>
        {
            // Every measurement begins with a model opened anew: one that has seen the rows holds their prompts' pages.
            PromptRow[] rows = [.. Enumerable.Range(0, count).Select(_ => new PromptRow { Text = text(prompts) })];
            context.LongCat().Release();
            (double together, CompletionRow[] left) = Time(rows, text(prompts), batch =>
                [.. context.Data.CreateEnumerable<CompletionRow>(transformer.Transform(context.Data.LoadFromEnumerable(batch)), reuseRowObject: false)]);

            context.LongCat().Release();
            using PredictionEngine<PromptRow, CompletionRow> engine = context.Model.CreatePredictionEngine<PromptRow, CompletionRow>(transformer);
            (double alone, CompletionRow[] right) = Time(rows, text(prompts), batch => [.. batch.Select(row => engine.Predict(row))]);
            tokens += left.Sum(row => row.CompletionTokens);
            equal += left.Zip(right).Count(pair => pair.First.Completion == pair.Second.Completion);
            compared += count;
            return (count / together, count / alone);
        });
        context.LongCat().Release();
        (string, double)[] common = [("tokens/row", (double)tokens / compared), ("equal rows", (double)equal / compared)];
        return
        [
            batched.ToFigure("mlnet", $"{model.Name}: batched view, {RowsInFlight} rows in flight", "rows/s", Environment.ProcessorCount, [.. common, ("times the loop", ratio)]),
            loop.ToFigure("mlnet", $"{model.Name}: PredictionEngine, row by row", "rows/s", Environment.ProcessorCount, [.. common, ("times the loop", 1)]),
        ];
    }

    /// <summary>One other row opens the model.</summary>
    private static (double Seconds, CompletionRow[] Rows) Time(PromptRow[] rows, string other, Func<PromptRow[], CompletionRow[]> run)
    {
        run([new PromptRow { Text = other }]);
        CompletionRow[] completed = [];
        return (Series.Seconds(() => completed = run(rows)), completed);
    }

    private sealed class PromptRow
    {
        public string Text { get; set; } = "";
    }

    private sealed class CompletionRow
    {
        public string Completion { get; set; } = "";

        public int CompletionTokens { get; set; }
    }
}
