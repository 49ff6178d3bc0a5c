using LongCat.ML.Calibration;
using LongCat.ML.Inputs;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML;

/// <summary>What a model reads while <see cref="ModelQuantizer"/> watches the inputs of its layers: rows of text, or random tokens.</summary>
/// <remarks>
/// Of rows with text, <see cref="Samples"/> are drawn with the seed of the quantization options, without replacement and in their order; each begins at its first token and ends after
/// <see cref="SampleTokens"/>. Shorter rows are taken as they are. Rows without text, rows that were there before and rows that cannot be tokenized are passed over and counted
/// (<see cref="CalibrationSummary"/>). Immutable; thread-safe as far as its source is.
/// </remarks>
public sealed class CalibrationData
{
    /// <summary>How many rows are used when nothing else is said.</summary>
    public const int DefaultSamples = 128;

    /// <summary>How many tokens of a row are used when nothing else is said.</summary>
    public const int DefaultSampleTokens = 256;

    private readonly Func<CancellationToken, IEnumerable<CalibrationRow>>? rows;

    private CalibrationData(string source, Func<CancellationToken, IEnumerable<CalibrationRow>>? rows, int samples, int sampleTokens)
    {
        Throw.IfOutside(samples, 1, 1 << 20, nameof(samples));
        Throw.IfOutside(sampleTokens, 1, 1 << 20, nameof(sampleTokens));
        Source = source;
        this.rows = rows;
        Samples = samples;
        SampleTokens = sampleTokens;
    }

    /// <summary>The most rows that are used.</summary>
    public int Samples { get; }

    /// <summary>The most tokens of a row that are used; at most the model's longest context.</summary>
    public int SampleTokens { get; }

    /// <summary>Whether there are no rows: the model reads random tokens.</summary>
    public bool DataFree => rows is null;

    /// <summary>Where the rows come from, in words.</summary>
    internal string Source { get; }

    /// <summary>Texts in memory.</summary>
    /// <param name="texts">The rows; read once for each quantization.</param>
    /// <param name="samples">The most rows that are used, 1 to 1,048,576.</param>
    /// <param name="sampleTokens">The most tokens of a row that are used, 1 to 1,048,576.</param>
    /// <returns>The data.</returns>
    public static CalibrationData FromTexts(IEnumerable<string?> texts, int samples = DefaultSamples, int sampleTokens = DefaultSampleTokens)
    {
        ArgumentNullException.ThrowIfNull(texts);
        return new CalibrationData("the texts", _ => texts.Select(text => new CalibrationRow(text, null)), samples, sampleTokens);
    }

    /// <summary>A field of a file of JSON objects, one a line.</summary>
    /// <param name="path">The file.</param>
    /// <param name="column">The field with the text.</param>
    /// <param name="samples">The most rows that are used, 1 to 1,048,576.</param>
    /// <param name="sampleTokens">The most tokens of a row that are used, 1 to 1,048,576.</param>
    /// <returns>The data.</returns>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    public static CalibrationData FromJsonLines(string path, string column = "text", int samples = DefaultSamples, int sampleTokens = DefaultSampleTokens)
    {
        Throw.IfBlank(path, nameof(path));
        Throw.IfBlank(column, nameof(column));
        if (!File.Exists(path))
        {
            throw new FileNotFoundException(Directory.Exists(path) ? $"{path} is a folder, expected a file of JSON lines" : $"{path} does not exist", path);
        }

        return new CalibrationData(path, _ => JsonLineRows.Read(path, column), samples, sampleTokens);
    }

    /// <summary>A text column of a view.</summary>
    /// <param name="data">The view; read once for each quantization, on the calling thread.</param>
    /// <param name="columnName">The text column.</param>
    /// <param name="samples">The most rows that are used, 1 to 1,048,576.</param>
    /// <param name="sampleTokens">The most tokens of a row that are used, 1 to 1,048,576.</param>
    /// <returns>The data.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such column, or it holds no text.</exception>
    public static CalibrationData FromColumn(IDataView data, string columnName = "Text", int samples = DefaultSamples, int sampleTokens = DefaultSampleTokens)
    {
        ArgumentNullException.ThrowIfNull(data);
        Throw.IfBlank(columnName, nameof(columnName));
        if (data.Schema.GetColumnOrNull(columnName) is not { } column)
        {
            Throw.MissingColumn("The calibration", columnName, data.Schema.Select(present => present.Name));
            return null;
        }

        if (column.Type is not TextDataViewType)
        {
            Throw.WrongColumnType("The calibration", new StepInput(columnName, InputKind.Text), column.Type.ToString()!);
        }

        return new CalibrationData($"the column '{columnName}'", _ => ViewRows(data, columnName), samples, sampleTokens);
    }

    /// <summary>
    /// No data at all: tokens drawn evenly from the vocabulary, special ones left out, after the model's begin-of-text token. FPTQ (arXiv 2308.15987, table 6) finds such sequences to
    /// serve as well as text.
    /// </summary>
    /// <param name="samples">How many sequences, 1 to 1,048,576.</param>
    /// <param name="sampleTokens">Tokens of each, 1 to 1,048,576.</param>
    /// <returns>The data.</returns>
    public static CalibrationData RandomTokens(int samples = DefaultSamples, int sampleTokens = DefaultSampleTokens) => new("random tokens", null, samples, sampleTokens);

    /// <summary>The rows, one after another.</summary>
    internal IEnumerable<CalibrationRow> Read(CancellationToken cancellationToken) => rows is null ? [] : rows(cancellationToken);

    private static IEnumerable<CalibrationRow> ViewRows(IDataView data, string columnName)
    {
        DataViewSchema.Column column = data.Schema[columnName];
        using DataViewRowCursor cursor = data.GetRowCursor([column]);
        ValueGetter<ReadOnlyMemory<char>> read = cursor.GetGetter<ReadOnlyMemory<char>>(column);
        ReadOnlyMemory<char> text = default;
        while (cursor.MoveNext())
        {
            read(ref text);
            yield return new CalibrationRow(text.ToString(), null);
        }
    }
}
