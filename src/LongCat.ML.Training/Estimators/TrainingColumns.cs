using LongCat.ML.Checkpoints;
using LongCat.ML.Inputs;
using LongCat.ML.Steps;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Training.Estimators;

/// <summary>The columns that hold training rows: what they must be, and how they are read.</summary>
/// <remarks>Immutable and thread-safe.</remarks>
internal sealed class TrainingColumns
{
    private TrainingColumns(RowKind kind, StepInput first, StepInput? second, string reader = "Lora")
    {
        Reader = reader;
        Kind = kind;
        First = first.Name;
        Second = second?.Name;
        Inputs = second is { } also ? [first, also] : [first];
    }

    /// <summary>How the trainer is called in messages.</summary>
    public string Reader { get; }

    public RowKind Kind { get; }

    /// <summary>The text, prompts, or what the messages of a chat say.</summary>
    public string First { get; }

    /// <summary>The completions, labels, or who speaks in a chat.</summary>
    public string? Second { get; }

    public IReadOnlyList<StepInput> Inputs { get; }

    /// <summary>One column of texts.</summary>
    public static TrainingColumns Texts(string column, string reader) => new(RowKind.Text, new StepInput(column, InputKind.Text), null, reader);

    /// <summary>Which columns the options name.</summary>
    /// <exception cref="ArgumentException">None, or more than one kind of row.</exception>
    public static TrainingColumns Of(LoraTrainerOptions options)
    {
        static bool Named(string? name) => !string.IsNullOrEmpty(name);
        bool[] named =
        [
            Named(options.TextColumnName), Named(options.LabelColumnName), Named(options.PromptColumnName), Named(options.CompletionColumnName),
            Named(options.RolesColumnName), Named(options.ContentsColumnName),
        ];
        return named switch
        {
            [true, false, false, false, false, false] => new(RowKind.Text, new StepInput(options.TextColumnName!, InputKind.Text), null),
            [true, true, false, false, false, false] => new(RowKind.Label, new StepInput(options.TextColumnName!, InputKind.Text), new StepInput(options.LabelColumnName!, InputKind.Label)),
            [false, false, true, true, false, false] => new(RowKind.PromptCompletion, new StepInput(options.PromptColumnName!, InputKind.Text), new StepInput(options.CompletionColumnName!, InputKind.Text)),
            [false, false, false, false, true, true] => new(RowKind.Chat, new StepInput(options.ContentsColumnName!, InputKind.Texts), new StepInput(options.RolesColumnName!, InputKind.Texts)),
            _ => throw new ArgumentException(
                $"The columns named are {Describe(options)}; expected one of: {nameof(options.TextColumnName)} alone; {nameof(options.TextColumnName)} and {nameof(options.LabelColumnName)}; "
                + $"{nameof(options.PromptColumnName)} and {nameof(options.CompletionColumnName)}; {nameof(options.RolesColumnName)} and {nameof(options.ContentsColumnName)}.", nameof(options)),
        };
    }

    /// <exception cref="ArgumentOutOfRangeException">A column is missing or of another type; the message names it, its type and what was expected.</exception>
    public void Check(DataViewSchema schema)
    {
        StepSchema.Check(Reader, Inputs, schema);
        if (Kind == RowKind.Label && schema[Second!] is { Type: KeyDataViewType } column && !column.HasKeyValues(TextDataViewType.Instance))
        {
            throw new ArgumentOutOfRangeException(
                "inputSchema", $"{Reader} reads the column '{Second}': its keys have no text values, so a label has no name. Make the keys of text with Conversion.MapValueToKey, or name a text column.");
        }
    }

    /// <summary>The labels that a column's type names, in the order of its keys; null where they are known only from the rows.</summary>
    public IReadOnlyList<string>? KnownLabels(DataViewSchema schema)
    {
        if (Kind != RowKind.Label || schema[Second!] is not { Type: KeyDataViewType } column)
        {
            return null;
        }

        VBuffer<ReadOnlyMemory<char>> values = default;
        column.GetKeyValues(ref values);
        return TextVector.Strings(values);
    }

    /// <summary>Reads a view once, row by row.</summary>
    public IEnumerable<TrainingRow> Read(IDataView view)
    {
        DataViewSchema.Column[] columns = [.. Inputs.Select(input => view.Schema[input.Name])];
        using DataViewRowCursor cursor = view.GetRowCursor(columns);
        Func<TrainingRow> read = ReaderOf(cursor, view.Schema);
        while (cursor.MoveNext())
        {
            yield return read();
        }
    }

    private Func<TrainingRow> ReaderOf(DataViewRowCursor cursor, DataViewSchema schema)
    {
        if (Kind == RowKind.Chat)
        {
            Func<string[]> contents = TextVector.Bind(cursor, schema[First]), roles = TextVector.Bind(cursor, schema[Second!]);
            return () => Chat(roles(), contents());
        }

        Func<string> first = new ColumnText(First).Bind(cursor, schema);
        if (Kind == RowKind.Text)
        {
            return () => Made(first(), "");
        }

        Func<string> second = schema[Second!].Type is KeyDataViewType ? Key(cursor, schema[Second!]) : new ColumnText(Second!).Bind(cursor, schema);
        return () => Made(first(), second());
    }

    private TrainingRow Made(string first, string second) => new(first, second, [], first.Length == 0 && Kind != RowKind.PromptCompletion ? $"'{First}' is empty"
        : second.Length == 0 && Kind != RowKind.Text ? $"'{Second}' is {(Kind == RowKind.Label ? "missing" : "empty")}" : null);

    private TrainingRow Chat(string[] roles, string[] contents) => roles.Length != contents.Length
        ? new("", "", [], $"the chat has {roles.Length} roles and {contents.Length} contents, expected one of each for every message", IsMalformed: true)
        : new("", "", [.. roles.Zip(contents, (role, content) => new ChatMessage(role, content))], roles.Length == 0 ? "the chat has no message" : null);

    private Func<string> Key(DataViewRow row, DataViewSchema.Column column)
    {
        IReadOnlyList<string> labels = KnownLabels(row.Schema)!;
        return Type.GetTypeCode(column.Type.RawType) switch
        {
            TypeCode.Byte => Label<byte>(value => value),
            TypeCode.UInt16 => Label<ushort>(value => value),
            TypeCode.UInt32 => Label<uint>(value => value),
            _ => Label<ulong>(value => value),
        };

        Func<string> Label<T>(Func<T, ulong> number)
        {
            ValueGetter<T> read = row.GetGetter<T>(column);
            T value = default!;
            return () =>
            {
                read(ref value);
                ulong key = number(value);
                return key == 0 || key > (ulong)labels.Count ? "" : labels[(int)(key - 1)];
            };
        }
    }

    private static string Describe(LoraTrainerOptions options)
    {
        string[] named =
        [
            .. new (string Option, string? Column)[]
            {
                (nameof(options.TextColumnName), options.TextColumnName), (nameof(options.LabelColumnName), options.LabelColumnName), (nameof(options.PromptColumnName), options.PromptColumnName),
                (nameof(options.CompletionColumnName), options.CompletionColumnName), (nameof(options.RolesColumnName), options.RolesColumnName), (nameof(options.ContentsColumnName), options.ContentsColumnName),
            }.Where(entry => !string.IsNullOrEmpty(entry.Column)).Select(entry => $"{entry.Option} ('{entry.Column}')"),
        ];
        return named.Length == 0 ? "none" : string.Join(", ", named);
    }
}
