using LongCat.ML.Saving;
using LongCat.ML.Steps;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Inputs;

/// <summary>The columns of a Generate step that hold a row's own settings, as one text.</summary>
internal sealed class RowOptionsText : TextSource
{
    private readonly GenerateOptions options;

    private RowOptionsText(GenerateOptions options)
    {
        this.options = options;
        Inputs = [.. Columns(options).Where(column => column.Name is not null).Select(column => new StepInput(column.Name!, column.Kind))];
    }

    public override IReadOnlyList<StepInput> Inputs { get; }

    /// <summary>Null where the options name no such column.</summary>
    public static RowOptionsText? Of(GenerateOptions options) => Columns(options).All(column => column.Name is null) ? null : new RowOptionsText(options);

    public override Func<string> Bind(DataViewRow row, DataViewSchema schema)
    {
        Func<int> maxNewTokens = Number(options.MaxNewTokensColumnName, -1);
        Func<float> temperature = Number(options.TemperatureColumnName, float.NaN);
        Func<int> topK = Number(options.TopKColumnName, -1);
        Func<float> topP = Number(options.TopPColumnName, float.NaN);
        Func<long> seed = Number(options.SeedColumnName, -1L);
        Func<string[]> stopStrings = options.StopStringsColumnName is { } stops ? TextVector.Bind(row, schema[stops]) : () => [];
        return () => Text(maxNewTokens(), temperature(), topK(), topP(), seed(), stopStrings());

        Func<T> Number<T>(string? name, T absent)
        {
            if (name is null)
            {
                return () => absent;
            }

            ValueGetter<T> read = row.GetGetter<T>(schema[name]);
            return () =>
            {
                T value = absent;
                read(ref value);
                return value;
            };
        }
    }

    /// <summary>The text of a row's settings. A negative number and NaN stand for none, and so does an empty stop string.</summary>
    public static string Text(int maxNewTokens, float temperature, int topK, float topP, long seed, IEnumerable<string> stopStrings) => new RowOptions(
        maxNewTokens >= 0 ? maxNewTokens : null,
        Given(temperature),
        topK >= 0 ? topK : null,
        Given(topP),
        seed >= 0 ? seed : null,
        [.. stopStrings.Where(text => text.Length > 0)]).ToText();

    /// <summary>Columns that are not named become constants that stand for none: the mapping needs all of its columns.</summary>
    public override EstimatorChain<ITransformer> Save(EstimatorChain<ITransformer> chain, TransformsCatalog transforms, string savedName)
    {
        foreach ((string? name, InputKind kind, string saved) in Columns(options))
        {
            chain = (name, kind) switch
            {
                (null, InputKind.TextOrTexts) => chain
                    .Append<ITransformer>(transforms.Expression(saved, "x : \"\"", SavedNames.Text))
                    .Append<ITransformer>(transforms.Concatenate(saved, saved)),
                (null, InputKind.Single) => chain.Append<ITransformer>(transforms.Expression(saved, "x : -1f", SavedNames.Text)),
                (null, InputKind.Int64) => chain.Append<ITransformer>(transforms.Expression(saved, "x : -1L", SavedNames.Text)),
                (null, _) => chain.Append<ITransformer>(transforms.Expression(saved, "x : -1", SavedNames.Text)),

                // A lone text becomes a vector of one.
                (_, InputKind.TextOrTexts) => chain.Append<ITransformer>(transforms.Concatenate(saved, name)),
                _ => chain.Append<ITransformer>(transforms.CopyColumns(saved, name)),
            };
        }

        return chain
            .Append<ITransformer>(transforms.CustomMapping(new SavedRowOptionsFactory().GetMapping(), SavedRowOptionsFactory.Contract))
            .Append<ITransformer>(transforms.CopyColumns(savedName, SavedNames.RowOptions))
            .Append<ITransformer>(transforms.DropColumns([SavedNames.RowOptions, .. Columns(options).Select(column => column.Saved)]));
    }

    private static float? Given(float value) => value >= 0 ? value : null;

    private static (string? Name, InputKind Kind, string Saved)[] Columns(GenerateOptions options) =>
    [
        (options.MaxNewTokensColumnName, InputKind.Int32, SavedNames.MaxNewTokens),
        (options.TemperatureColumnName, InputKind.Single, SavedNames.Temperature),
        (options.TopKColumnName, InputKind.Int32, SavedNames.TopK),
        (options.TopPColumnName, InputKind.Single, SavedNames.TopP),
        (options.SeedColumnName, InputKind.Int64, SavedNames.Seed),
        (options.StopStringsColumnName, InputKind.TextOrTexts, SavedNames.StopStrings),
    ];
}
