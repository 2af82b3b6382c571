//! The page of measurements shows what is in the reports beside it.

use std::fs;
use std::path::Path;

use lb_tests::performance;

#[test]
fn the_page_and_its_plots_are_what_the_reports_render() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    for (file, text) in performance::documents(&docs).expect("reports and a page") {
        let committed = fs::read_to_string(&file).unwrap_or_default();
        let file = file.strip_prefix(&docs).expect("below docs").display();
        assert!(
            committed == text,
            "docs/{file} is out of date: run `cargo xtask docs`"
        );
    }
}
